"""What every part of the JSON API shares: who asks, how refusals are put, how lists are paged."""
