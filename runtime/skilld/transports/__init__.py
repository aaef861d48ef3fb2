"""Transports: each turns one wire format into calls of `SkillService` and back. Blind to others."""
