package rlimit

// Read returns Unlimited twice: sockets are handles here, and handles are bounded
// by memory only.
func Read() (Files, error) { return Files{Soft: Unlimited, Hard: Unlimited}, nil }

// Raise returns Unlimited twice, there is nothing to raise.
func Raise() (Files, error) { return Read() }
