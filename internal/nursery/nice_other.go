//go:build !linux

package nursery

// setNice does nothing: what other systems have belongs to whole processes, this one included.
func setNice(int, bool) {}
