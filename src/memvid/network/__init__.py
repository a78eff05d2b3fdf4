"""What leaves the machine, and what comes back: addresses, keys, proxies, redirects, and bounds on time and bytes.

Chat and embeddings reach their servers through here and in no other way.
"""

__all__ = ()
