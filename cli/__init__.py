"""The console command: arguments in, one call, output."""
