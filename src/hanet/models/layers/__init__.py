"""What networks share: attentions, convolutions in forms that train or run faster, and number
formats."""
