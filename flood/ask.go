package flood

import (
	"fmt"

	"cometctl/internal/clienttls"
)

// Ask is how targets are asked and their answers read, as text: what the flags of one process say, and what the workers of a fleet are told.
type Ask struct {
	Header []string        `json:"header,omitempty"` // as ParseHeader reads them
	As     string          `json:"as,omitempty"`     // as ParseAs reads it
	Trust  clienttls.Trust `json:"tls,omitzero"`     // of https:// and wss:// targets
}

// Bounds of what Ask.Rules accepts, as it may come from another process.
const (
	maxHeader = 100
	maxTrust  = 256 << 10 // bytes of each PEM text
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
