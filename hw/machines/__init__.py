"""What runs a module's firmware: a native process or an ARM image in QEMU, behind one interface."""
