"""`box`: updates on a box: a release comes in, is activated, tried, and committed or undone."""

from skilld.updates.box.activation import Activation
from skilld.updates.box.intake import Trust
from skilld.updates.box.requirements import BoxFacts
from skilld.updates.box.updater import Listener, Updater

__all__ = ["Activation", "BoxFacts", "Listener", "Trust", "Updater"]
