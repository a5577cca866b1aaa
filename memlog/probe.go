package memlog

import "errors"

// errEnded says that the process is there no longer; a zombie is not there either.
var errEnded = errors.New("memlog: the process has ended")

// errNoListener says why there are no connections to count.
var errNoListener = errors.New("the target listens on no TCP port")

// notes collects what a probe has to say about cells that it leaves empty: each reason
// once, the first time that it occurs.
type notes struct {
	said map[string]bool
	news []string
}

func (n *notes) add(text string) {
	if n.said == nil {
		n.said = make(map[string]bool)
	}
	if !n.said[text] {
		n.said[text] = true
		n.news = append(n.news, text)
	}
}

// drain returns what is new since the last call.
func (n *notes) drain() []string {
	news := n.news
	n.news = nil
	return news
}
