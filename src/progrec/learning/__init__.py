"""Tables -> a bundle and its measure."""
