"""Any annotation export -> a checked dataset folder. numpy only, no torch."""
