package wire

import (
	"crypto/sha1"
	"encoding/base64"
)

// keyGUID is what RFC 6455 section 1.3 puts behind a key.
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

const (
	keyLen    = 24 // of a Sec-WebSocket-Key: 16 bytes in base64
	acceptLen = 28 // of a Sec-WebSocket-Accept: 20 bytes
	wsVersion = "13"
)

// Upgrade is the opening handshake of a client, RFC 6455 section 4.2.1.
type Upgrade struct {
	Key      []byte // Sec-WebSocket-Key, a part of the request's head
	Protocol string // the subprotocol to use, one of those that ParseUpgrade was given; empty: none
}

// ParseUpgrade checks that r asks for a WebSocket, and picks the subprotocol: the first of the client's list that is among
// protocols. r must have no body, or its first bytes could be taken for frames. Extensions that are offered are not used,
// and the origin is the caller's to judge. An error is an *Error: status 426 where no WebSocket is asked for, or another
// version than 13 (the answer must name both, see UpgradeFields), and 400 for all else.
func ParseUpgrade(r *Request, protocols ...string) (up Upgrade, err error) {
	var m upgradeMeaning
	m.read(r.fields)
	switch {
	case r.Minor == 0, !m.upgrade, !m.connection: // Upgrade does not exist in HTTP/1.0: RFC 9110 section 7.8
		return up, reject(426, "a WebSocket is here: ask with HTTP/1.1, Upgrade: websocket and Connection: Upgrade")
	case string(r.Method) != "GET":
		return up, reject(400, "method %+.40q cannot ask for a WebSocket: GET can", r.Method)
	case m.versions == 0:
		return up, reject(400, "no Sec-WebSocket-Version")
	case m.versions > 1 || m.keys > 1:
		return up, reject(400, "%d fields Sec-WebSocket-Version and %d Sec-WebSocket-Key: one of each is wanted", m.versions, m.keys)
	case string(m.version) != wsVersion:
		return up, reject(426, "WebSocket version %+.40q: only "+wsVersion+" is spoken here", m.version)
	case m.keys == 0:
		return up, reject(400, "no Sec-WebSocket-Key")
	case !validKey(m.key):
		return up, reject(400, "bad Sec-WebSocket-Key %+.40q: want 16 bytes in base64", m.key)
	case r.ContentLength > 0 || r.Chunked:
		return up, reject(400, "a request for a WebSocket has a body")
	}
	up.Key = m.key
	up.Protocol, err = chooseProtocol(r.fields, protocols)
	return up, err
}

// UpgradeFields are the lines of a 426: what a client can upgrade to (RFC 9110 section 15.5.22, RFC 6455 section 4.4).
const UpgradeFields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: " + wsVersion + "\r\n"

// upgradeMeaning collects what the fields of a head say about a WebSocket.
type upgradeMeaning struct {
	upgrade    bool // Upgrade lists websocket
	connection bool // Connection lists upgrade
	keys       int
	key        []byte // the last of them
	versions   int
	version    []byte // the last of them
}

func (m *upgradeMeaning) read(fields []byte) {
	for len(fields) > 0 {
		var name, value []byte
		name, value, fields = cutField(fields)
		switch {
		case equalFold(name, "Upgrade"):
			m.upgrade = m.upgrade || hasToken(value, "websocket")
		case equalFold(name, "Connection"):
			m.connection = m.connection || hasToken(value, "upgrade")
		case equalFold(name, "Sec-WebSocket-Key"):
			m.keys++
			m.key = value
		case equalFold(name, "Sec-WebSocket-Version"):
			m.versions++
			m.version = value
		}
	}
}

// chooseProtocol returns the first subprotocol that a client lists and that is spoken here; empty: there is none.
func chooseProtocol(fields []byte, spoken []string) (chosen string, err error) {
	for len(fields) > 0 {
		var name, list []byte
		name, list, fields = cutField(fields)
		for more := equalFold(name, "Sec-WebSocket-Protocol"); more; {
			var element []byte
			element, list, more = cutElement(list)
			if span(element, isToken) < len(element) {
				return "", reject(400, "bad Sec-WebSocket-Protocol %+.40q", element)
			}
			for _, p := range spoken {
				if chosen == "" && string(element) == p {
					chosen = p
				}
			}
		}
	}
	return chosen, nil
}

// validKey tells whether b is the base64 of 16 bytes. Bits that the last digit has too many are not looked at.
func validKey(b []byte) bool {
	var raw [keyLen / 4 * 3]byte
	if len(b) != keyLen {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], b)
	return err == nil && n == 16
}

// AppendUpgraded appends the head that answers up: status 101 (RFC 6455 section 4.2.2). Frames follow it. The fields are
// whole lines that it holds beside its own.
func AppendUpgraded(dst []byte, up Upgrade, fields string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, up.Key)
	if up.Protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, up.Protocol...)
	}
	dst = append(dst, "\r\n"...)
	dst = append(dst, fields...)
	return append(dst, "\r\n"...)
}

// appendAccept appends the value of Sec-WebSocket-Accept that answers a key of keyLen bytes.
func appendAccept(dst, key []byte) []byte {
	var text [keyLen + len(keyGUID)]byte
	copy(text[copy(text[:], key):], keyGUID)
	sum := sha1.Sum(text[:])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendUpgrade appends the fields, whole lines, with which a client asks for a WebSocket beside Host (RFC 6455 section 4.1).
// Each connection needs a nonce of its own, chosen at random. protocols is the list of subprotocols that the client speaks,
// separated by commas; empty: it does not say.
func AppendUpgrade(dst []byte, nonce [16]byte, protocols string) []byte {
	dst = append(dst, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "+wsVersion+"\r\nSec-WebSocket-Key: "...)
	dst = base64.StdEncoding.AppendEncode(dst, nonce[:])
	if protocols != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocols...)
	}
	return append(dst, "\r\n"...)
}

// CheckUpgraded checks that r is the answer to AppendUpgrade with the same nonce and protocols: that the server speaks
// WebSocket from here on (RFC 6455 section 4.1, at its end). An error is an *Error with the Status 400.
func CheckUpgraded(r *Response, nonce [16]byte, protocols string) error {
	var text [keyLen + acceptLen]byte
	key := base64.StdEncoding.AppendEncode(text[:0], nonce[:])
	want := appendAccept(key, key)[len(key):]
	if r.Status != 101 {
		return reject(400, "status %d instead of 101 for a WebSocket", r.Status)
	}
	upgrade, _ := r.Field("Upgrade")
	if !equalFold(upgrade, "websocket") {
		return reject(400, "upgraded to %+.40q instead of websocket", upgrade)
	}
	var m upgradeMeaning
	m.read(r.fields)
	accept, accepts := onlyField(r.fields, "Sec-WebSocket-Accept")
	extensions, extended := r.Field("Sec-WebSocket-Extensions")
	protocol, choices := onlyField(r.fields, "Sec-WebSocket-Protocol")
	switch {
	case !m.connection:
		return reject(400, "status 101 without Connection: Upgrade")
	case accepts > 1 || choices > 1:
		return reject(400, "%d fields Sec-WebSocket-Accept and %d Sec-WebSocket-Protocol: one of each is wanted", accepts, choices)
	case string(accept) != string(want):
		return reject(400, "Sec-WebSocket-Accept %+.40q instead of %+q", accept, want)
	case extended:
		return reject(400, "WebSocket extension %+.40q was not asked for", extensions)
	case choices > 0 && !listsExactly(protocols, protocol):
		return reject(400, "WebSocket subprotocol %+.40q was not asked for", protocol)
	}
	return nil
}

// onlyField is the value of the last field called name, and how many there are.
func onlyField(fields []byte, name string) (value []byte, n int) {
	for len(fields) > 0 {
		var f, v []byte
		if f, v, fields = cutField(fields); equalFold(f, name) {
			value = v
			n++
		}
	}
	return value, n
}

// listsExactly tells whether a comma-separated list has that element. Subprotocols are told apart by case.
func listsExactly(list string, element []byte) bool {
	rest := []byte(list)
	for more := len(element) > 0; more; {
		var e []byte
		if e, rest, more = cutElement(rest); string(e) == string(element) {
			return true
		}
	}
	return false
}
