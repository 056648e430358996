"""StyleGAN-T: its configuration, losses, text phase, growth and recipes."""
