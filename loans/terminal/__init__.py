"""What commands print, and how they find the site."""
