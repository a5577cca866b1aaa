package wire

import (
	"strings"
	"testing"
)

const (
	rfcKey    = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 section 1.3: "the sample nonce"
	rfcAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	askLines  = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	keyLine   = "Sec-WebSocket-Key: " + rfcKey + "\r\n"
	version13 = "Sec-WebSocket-Version: 13\r\n"
)

var upgrades = []struct {
	name, head string
	protocol   string // that is chosen
	status     int    // of the refusal; 0: none
	reason     string
}{
	{"plain", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13, "", 0, ""},
	{"a browser's", "GET /ws/1 HTTP/1.1\r\nHost: x:80\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\nOrigin: http://x\r\n" + version13 + keyLine +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", "", 0, ""},
	{"tokens over fields", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nUpgrade: a, websocket\r\nConnection: close\r\nConnection: Upgrade\r\n" + keyLine + version13, "", 0, ""},
	{"no body said twice", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Content-Length: 0\r\n", "", 0, ""},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n" + askLines + keyLine + version13, "", 0, ""},
	{"subprotocol", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Sec-WebSocket-Protocol: chat, two\r\n", "two", 0, ""},
	{"the client's first counts", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: ,two,one\r\n", "two", 0, ""},
	{"no subprotocol that we speak", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Sec-WebSocket-Protocol: chat, TWO\r\n", "", 0, ""},

	{"POST", "POST / HTTP/1.1\r\n" + askLines + keyLine + version13, "", 400, "POST"},
	{"HEAD", "HEAD / HTTP/1.1\r\nHost: x\r\n", "", 426, "Upgrade: websocket"},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n" + askLines + keyLine + version13, "", 426, "HTTP/1.1"},
	{"no Upgrade", "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" + keyLine + version13, "", 426, "Upgrade: websocket"},
	{"another Upgrade", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket2, xwebsocket\r\nConnection: Upgrade\r\n" + keyLine + version13, "", 426, "Upgrade: websocket"},
	{"no Connection", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" + keyLine + version13, "", 426, "Connection: Upgrade"},
	{"another Connection", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgraded\r\n" + keyLine + version13, "", 426, "Connection: Upgrade"},
	{"no version", "GET / HTTP/1.1\r\n" + askLines + keyLine, "", 400, "no Sec-WebSocket-Version"},
	{"version 8", "GET / HTTP/1.1\r\n" + askLines + keyLine + "Sec-WebSocket-Version: 8\r\n", "", 426, `version "8"`},
	{"version 013", "GET / HTTP/1.1\r\n" + askLines + keyLine + "Sec-WebSocket-Version: 013\r\n", "", 426, `version "013"`},
	{"a list of versions", "GET / HTTP/1.1\r\n" + askLines + keyLine + "Sec-WebSocket-Version: 13, 8\r\n", "", 426, `version "13, 8"`},
	{"two versions", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + version13, "", 400, "2 fields Sec-WebSocket-Version"},
	{"no key", "GET / HTTP/1.1\r\n" + askLines + version13, "", 400, "no Sec-WebSocket-Key"},
	{"two keys", "GET / HTTP/1.1\r\n" + askLines + version13 + keyLine + keyLine, "", 400, "2 Sec-WebSocket-Key"},
	{"empty key", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key:\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"key of 15 bytes", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"key of 17 bytes", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"key of 18 bytes", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"key without padding", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"key that is no base64", "GET / HTTP/1.1\r\n" + askLines + version13 + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA-_==\r\n", "", 400, "bad Sec-WebSocket-Key"},
	{"body", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Content-Length: 5\r\n", "", 400, "body"},
	{"chunked body", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Transfer-Encoding: chunked\r\n", "", 400, "body"},
	{"bad subprotocol", "GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Sec-WebSocket-Protocol: one, a b\r\n", "", 400, "Sec-WebSocket-Protocol"},
}

func TestUpgrade(t *testing.T) {
	for _, c := range upgrades {
		t.Run(c.name, func(t *testing.T) {
			var r Request
			if err := ParseRequest([]byte(c.head+"\r\n"), Limits{}, &r); err != nil {
				t.Fatal(err)
			}
			up, err := ParseUpgrade(&r, "one", "two")
			if c.status != 0 {
				wantError(t, err, c.status, c.reason)
				return
			}
			if err != nil || string(up.Key) != rfcKey || up.Protocol != c.protocol {
				t.Fatalf("got %q, %v", up, err)
			}
			want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + rfcAccept + "\r\n"
			if c.protocol != "" {
				want += "Sec-WebSocket-Protocol: " + c.protocol + "\r\n"
			}
			if got := AppendUpgraded(nil, up, "Server: y\r\n"); string(got) != want+"Server: y\r\n\r\n" {
				t.Errorf("answer %q, want %q", got, want)
			}
		})
	}
}

// What a client asks a server understands, and takes its answer; any other answer it refuses.
func TestUpgraded(t *testing.T) {
	nonce := [16]byte([]byte("the sample nonce"))
	asked := AppendUpgrade([]byte("GET / HTTP/1.1\r\nHost: x\r\n"), nonce, "one, two")
	var r Request
	if err := ParseRequest(append(asked, "\r\n"...), Limits{}, &r); err != nil {
		t.Fatal(err)
	}
	up, err := ParseUpgrade(&r, "two")
	if err != nil || string(up.Key) != rfcKey || up.Protocol != "two" {
		t.Fatalf("%q: %q, %v", asked, up, err)
	}
	good := string(AppendUpgraded(nil, up, ""))
	if strings.Contains(string(AppendUpgrade(nil, nonce, "")), "Protocol") {
		t.Error("a client without subprotocols names some")
	}
	for _, c := range []struct{ name, old, new, reason string }{
		{"good", "", "", ""},
		{"other case", "Upgrade: websocket\r\nConnection: Upgrade", "upgrade: WebSocket\r\nconnection: x, upgrade", ""},
		{"no subprotocol", "Sec-WebSocket-Protocol: two\r\n", "", ""},
		{"other status", "101 Switching Protocols", "200 OK", "status 200"},
		{"no Upgrade", "Upgrade: websocket\r\n", "", "upgraded to"},
		{"other Upgrade", "websocket\r\n", "h2c\r\n", `"h2c"`},
		{"no Connection", "Connection: Upgrade\r\n", "", "without Connection"},
		{"no accept", "Sec-WebSocket-Accept", "X", "Sec-WebSocket-Accept"},
		{"wrong accept", "s3pP", "S3pP", "Sec-WebSocket-Accept"},
		{"two accepts", "Sec-WebSocket-Accept", "Sec-WebSocket-Accept: " + rfcAccept + "\r\nSec-WebSocket-Accept", "2 fields Sec-WebSocket-Accept"},
		{"two subprotocols", "Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: two\r\nSec-WebSocket-Protocol", "2 Sec-WebSocket-Protocol"},
		{"extension", "\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n", "extension"},
		{"other subprotocol", "two", "TWO", `subprotocol "TWO"`},
		{"empty subprotocol", "two", "", "subprotocol"},
		{"bad subprotocol", "two", "one two", "subprotocol"},
	} {
		var p Response
		if err := ParseResponse([]byte(strings.Replace(good, c.old, c.new, 1)), Limits{}, &p); err != nil {
			t.Fatal(c.name, err)
		}
		err := CheckUpgraded(&p, nonce, "one, two")
		if c.reason != "" {
			wantError(t, err, 400, c.reason)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
