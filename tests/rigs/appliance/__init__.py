"""Set-ups for the service: a trial below a folder, a small systemctl, small wheels."""
