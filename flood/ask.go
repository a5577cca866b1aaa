package flood

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cometctl/internal/clienttls"
)

// Ask is how targets are asked and their answers read, as text: what the flags of one process say, and what the workers of a fleet are told.
type Ask struct {
	Header []string        `json:"header,omitempty"` // as ParseHeader reads them
	As     string          `json:"as,omitempty"`     // as ParseAs reads it
	Cursor string          `json:"cursor,omitempty"` // as ParseCursor reads it
	Trust  clienttls.Trust `json:"tls,omitzero"`     // of https:// and wss:// targets

	Subprotocols []string `json:"subprotocols,omitempty"` // that WebSockets ask for, the best first
	Hello        []string `json:"hello,omitempty"`        // what a WebSocket says first, a message each
	Run          string   `json:"run,omitempty"`          // what {run} is
	First        int      `json:"first,omitempty"`        // what {n} is for the first target, less one
}

// Bounds of what Ask.Rules accepts, as it may come from another process.
const (
	maxHeader = 100
	maxTrust  = 256 << 10 // bytes of each PEM text
	maxHello  = 64 << 10  // bytes of all first messages
	maxRun    = 128
)

// Rules is Ask understood. An error begins with the flag that says what is wrong.
func (a Ask) Rules() (r Rules, err error) {
	if len(a.Header) > maxHeader {
		return r, fmt.Errorf("--header is there %d times; give %d at most", len(a.Header), maxHeader)
	}
	if r.Header, err = ParseHeader(a.Header); err != nil {
		return r, fmt.Errorf("--header %w", err)
	}
	if r.As, err = ParseAs(a.As); err != nil {
		return r, fmt.Errorf("--as %w", err)
	}
	if r.Cursor, err = ParseCursor(a.Cursor); err != nil {
		return r, fmt.Errorf("--cursor %w", err)
	}
	if r.Cursor.kind != cursorNone && r.As != AsPoll {
		return r, errors.New("--cursor is for --as poll")
	}
	if err = a.websocket(&r); err != nil {
		return r, err
	}
	if r.Run, r.First = a.Run, a.First; len(r.Run) > maxRun || strings.Trim(r.Run, runCharacters) != "" || r.First < 0 || r.First > maxTargets {
		return r, fmt.Errorf("%.80q is no tag of a run: it has up to %d of A-Z a-z 0-9 . _ ~ -", r.Run, maxRun)
	}
	for _, text := range [][]byte{a.Trust.CA, a.Trust.Cert, a.Trust.Key} {
		if len(text) > maxTrust {
			return r, fmt.Errorf("--ca, --cert, --key: a file of %d bytes; give %d at most", len(text), maxTrust)
		}
	}
	if r.TLS, err = a.Trust.Config(); err != nil {
		return r, fmt.Errorf("%s %w", clienttls.Flag(err), err)
	}
	return r, nil
}

// runCharacters can stand in a URL and a field as they are (RFC 3986 section 2.3).
const runCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"

// websocket judges what is about WebSockets.
func (a Ask) websocket(r *Rules) error {
	if len(a.Subprotocols) > 0 && r.Header.protocols != "" {
		return errors.New("--subprotocol and -H 'Sec-WebSocket-Protocol: ...' say the same; give one of them")
	}
	if len(a.Subprotocols) > maxHeader {
		return fmt.Errorf("--subprotocol is there %d times; give %d at most", len(a.Subprotocols), maxHeader)
	}
	for _, p := range a.Subprotocols {
		if _, _, err := parseField(p + ": "); err != nil || p == "" { // both are tokens (RFC 9110 section 5.6.2)
			return fmt.Errorf("--subprotocol %.80q is no name of one; such a name has no spaces, commas and slashes, as in graphql-ws", p)
		}
	}
	r.Protocols = strings.Join(a.Subprotocols, ", ")
	all := 0
	for _, text := range a.Hello {
		if all += len(text); all > maxHello {
			return fmt.Errorf("--ws-hello says more than %d bytes", maxHello)
		}
		if !utf8.ValidString(text) {
			return fmt.Errorf("--ws-hello %.80q is no UTF-8, as a text message has to be", text)
		}
		if strings.Contains(text, string(blankCursor)) {
			return fmt.Errorf("--ws-hello %.80q has {cursor}, which is for --as poll", text)
		}
	}
	r.Hello = a.Hello
	return nil
}
