package main

import (
	"fmt"
	"io"

	"cometctl/flood"
	"cometctl/internal/clienttls"
)

// refusalLines are what servers have said to those that they refused, a line each.
func refusalLines(w io.Writer, all []flood.Refusal) {
	for _, f := range all {
		text := f.Body
		if f.Location != "" {
			text = "to " + f.Location
		}
		if text == "" {
			text = "(nothing said)"
		}
		fmt.Fprintf(w, "  %s\t%d: %.100s\n", f.Cause, f.Times, text)
	}
}

// hintOf is the way out for a cause of failure; "" where none is known.
func hintOf(word string, all []flood.Refusal) string {
	if word == "status 401" || word == "status 403" {
		return "the server wants to know who asks: user:password@ in the URL, or -H 'Authorization: ...'"
	}
	for _, f := range all {
		if f.Cause == word && f.Location != "" {
			return fmt.Sprintf("the server sends clients to %.200s, where flood does not go by itself: give that URL", f.Location)
		}
	}
	return clienttls.Hint(word)
}
