"""What a chapter imports: its settings, its promises, data, figures and recorded runs."""
