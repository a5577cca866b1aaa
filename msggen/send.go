package msggen

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cometctl/internal/clienttls"
	"cometctl/internal/wire"
)

// sendLimit is how long Send waits for a server's answer.
const sendLimit = 10 * time.Second

// wantsToken is the way out where a server answers 401.
const wantsToken = "give --token-file with a file whose first line is a token that the server knows"

// Receipt is what a server says about one message.
type Receipt struct {
	Ledger
	// Remote is to how many sessions of other nodes it was handed, where Forwarded; nil where the server does not know.
	Remote *uint64 `json:"remote"`
	Raw    []byte  `json:"-"` // the answer as it came: JSON
}

// Send is the article's router:send(ID, Message): it hands msg to the id by POST /send/{id} of the server at base, such as
// "http://127.0.0.1:8001" or, in front of it, one that speaks https. Ctrl-C and ten seconds without an answer end it.
//
// That nobody is logged in as id is no error: the receipt counts it as offline. An error means that the server is not
// there, refused (its words are in the error), or is no such server. authorization and trust are as in Config.
func Send(ctx context.Context, base, authorization string, trust clienttls.Trust, id string, msg []byte) (Receipt, error) {
	u, err := url.Parse(base)
	if err != nil {
		return Receipt{}, fmt.Errorf("send: target %q: %w", wire.RedactURL(base), err)
	}
	if u.User != nil && authorization != "" {
		return Receipt{}, errTwoAuthorizations
	}
	tls, err := trust.Config()
	if err != nil {
		return Receipt{}, fmt.Errorf("send: %w", err)
	}
	to := strings.TrimSuffix(base, "/") + "/send/" + escapeID(id)
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(msg))
	if err != nil {
		return Receipt{}, fmt.Errorf("send: target %q: %w", wire.RedactURL(to), err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: tls}, // no proxy: what was checked is what is dialled
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(req)
	if err != nil {
		return Receipt{}, fmt.Errorf("send: no answer from %s: %w; is cometctl serve running?", address(u), sendCause(err))
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return Receipt{}, fmt.Errorf("send: the answer of %s broke off: %w", address(u), err)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		return Receipt{}, fmt.Errorf("send: %s refused the message: %s%s; %s", address(u), answer.Status, excerpt(raw), wantsToken)
	}
	if answer.StatusCode != http.StatusOK {
		return Receipt{}, fmt.Errorf("send: %s refused the message: %s%s", address(u), answer.Status, excerpt(raw))
	}
	r := Receipt{Raw: bytes.TrimSpace(raw)}
	if err := json.Unmarshal(raw, &r); err != nil {
		return Receipt{}, fmt.Errorf("send: the answer of %s is no receipt%s; is it cometctl serve's admin address?", address(u), excerpt(raw))
	}
	return r, nil
}

// sendCause is dialCause, with the way out for a handshake that failed.
func sendCause(err error) error {
	if clienttls.Word(err) != "" {
		return shakeError(err)
	}
	return dialCause(err)
}

// escapeID percent-encodes an id as one segment of a path. The ids "." and ".." are good ones, and would be taken as a
// step in the path if they were not encoded too (RFC 3986 section 5.2.4).
func escapeID(id string) string {
	if strings.Trim(id, ".") == "" {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}
