"""`mqtt`: a connection to a broker, messages, topics. Calls and releases both travel over it."""
