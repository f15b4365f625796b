"""Where generated automations of this repository land; one example, made by the generator."""
