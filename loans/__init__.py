"""The console command `loans`."""
