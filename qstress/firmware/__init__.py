"""What each firmware says while it boots, and where it leaves its CPUs."""
