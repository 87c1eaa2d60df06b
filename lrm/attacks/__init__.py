"""Static attacks: transforms of a prompt, and the conversation around it."""
