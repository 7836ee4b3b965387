"""Bundle + queue -> recommendations."""
