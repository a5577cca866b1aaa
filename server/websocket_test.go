package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
	"cometctl/server/history"
)

const (
	wsLines = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	aMask   = 0x04030201
)

// upgrade opens a WebSocket; target is what follows /ws/, the fields are whole lines.
func (c *browser) upgrade(target, fields string) *browser {
	c.t.Helper()
	c.say("GET /ws/" + target + " HTTP/1.1\r\n" + wsLines + fields + hostLine)
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 101 Switching Protocols\r\n") || !strings.Contains(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		c.t.Fatalf("asked for a WebSocket and got %q", head)
	}
	return c
}

// frame reads a frame and returns it as its opcode and payload: "1:text".
func (c *browser) frame() (string, error) {
	var d wire.FrameDecoder
	var payload []byte
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			return "", err
		}
		p, _, err := d.Next([]byte{b}, wire.FrameRules{Client: true, MessageMax: 1 << 20})
		if err != nil {
			return "", err
		}
		payload = append(payload, p.Data...)
		if p.End {
			return fmt.Sprintf("%d:%s", p.Op, payload), nil
		}
	}
}

// wantFrame fails unless the next frame is this.
func (c *browser) wantFrame(want string) {
	c.t.Helper()
	if got, err := c.frame(); err != nil || got != want {
		c.t.Errorf("got frame %.200q, %v; want %.200q", got, err, want)
	}
}

// wantClose fails unless the next frame is a close frame with that code, and then the connection ends.
func (c *browser) wantClose(code int) {
	c.t.Helper()
	got, err := c.frame()
	want := string(wire.AppendClosePayload(nil, code, ""))
	if err != nil || !strings.HasPrefix(got, "8:"+want) || want == "" && got != "8:" {
		c.t.Errorf("got frame %q, %v; want a close frame with code %d", got, err, code)
	}
	if rest := c.rest(); rest != "" {
		c.t.Errorf("%q follows the close frame", rest)
	}
}

// masked is a frame of a client, good or not: first is its first byte.
func masked(first byte, payload string) string {
	b := wire.AppendMaskedFrame(nil, 0, []byte(payload), aMask)
	b[0] = first
	return string(b)
}

// sockets is how many connections have begun to say something, and how many bytes are kept of it.
func sockets(s *Server) (n, bytes int) {
	inLoops(s, func(_ netloop.Loop, fl *frontLoop) {
		n += len(fl.sockets)
		bytes += fl.gathered
	})
	return n, bytes
}

// wsRequests are requests for a WebSocket that have no good end.
var wsRequests = []struct {
	raw    string // without a Host line and the empty line
	status int
	says   string // in the answer
}{
	{"GET /ws/1 HTTP/1.1", 426, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"},
	{"HEAD /ws/1 HTTP/1.1", 426, "Sec-WebSocket-Version: 13\r\n"},
	{"GET /ws/1 HTTP/1.0\r\n" + wsLines, 426, "HTTP/1.1"},
	{"GET /ws/1 HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade", 426, "Upgrade: websocket"},
	{"GET /ws/1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: close", 426, "Upgrade: websocket"},
	{"GET /ws/1 HTTP/1.1\r\n" + strings.Replace(wsLines, "13", "12", 1), 426, `version "12"`},
	{"GET /ws/1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13", 400, "no Sec-WebSocket-Key"},
	{"GET /ws/1 HTTP/1.1\r\n" + strings.Replace(wsLines, "dGhl", "dGh", 1), 400, "bad Sec-WebSocket-Key"},
	{"GET /ws/1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", 400, "no Sec-WebSocket-Version"},
	{"GET /ws/1?format=xml HTTP/1.1\r\n" + wsLines, 400, "text or json"},
	{"GET /ws/1?format=%zz HTTP/1.1\r\n" + wsLines, 400, "escape"},
	{"GET /ws/1?format=json&since=x HTTP/1.1\r\n" + wsLines, 400, "x"},
	{"GET /ws/ HTTP/1.1\r\n" + wsLines, 400, "id"},
	{"GET /ws/a%20b HTTP/1.1\r\n" + wsLines, 400, "bad id"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Content-Length: 2\r\n", 400, "body"},
	{"POST /ws/1 HTTP/1.1\r\n" + wsLines, 404, "/test/{id}"},
	{"GET /ws HTTP/1.1\r\n" + wsLines, 404, "/test/{id}"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin: http://elsewhere", 403, "--allow-origin"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin: http://localhost:81", 403, "--allow-origin"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin: null", 403, "--allow-origin"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin:", 403, "--allow-origin"},
	{"GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin: file://localhost", 403, "--allow-origin"},
}

func TestWebSocketRequests(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for _, c := range wsRequests {
			b := dial(t, s)
			raw := strings.TrimSuffix(c.raw, "\r\n") + "\r\n" + hostLine
			if strings.Contains(raw, "Content-Length") {
				raw += "hi"
			}
			b.say(raw)
			got := b.head()
			n, _ := strconv.Atoi(regexp.MustCompile(`Content-Length: ([0-9]+)`).FindStringSubmatch(got)[1])
			body := make([]byte, n)
			if !strings.HasPrefix(raw, "HEAD") {
				io.ReadFull(b.r, body)
			}
			if got += string(body); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) || !strings.Contains(got, c.says) {
				t.Errorf("%q: got %q, want %d and %q", c.raw, got, c.status, c.says)
			}
		}
		if n := s.Stats().Router.Logins; n != 0 {
			t.Errorf("%d logins", n)
		}
	})
}

// Pages of this server's host may have a WebSocket, others where they are allowed to, and clients that are no browsers.
func TestWebSocketOrigin(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, AllowOrigin: []string{"https://good.example"}})
		for _, fields := range []string{"", "Origin: http://localhost\r\n", "Origin: https://LOCALHOST\r\n", "Origin: https://good.example\r\n"} {
			dial(t, s).upgrade("1", fields)
		}
		b := dial(t, s)
		b.say("GET /ws/1 HTTP/1.1\r\n" + wsLines + "Origin: https://bad.example\r\n" + hostLine)
		if got := b.rest(); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("got %q", got)
		}
	})
}

// Messages are text frames, in their order; what is no UTF-8 in them is replaced.
func TestWebSocketMessages(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s).upgrade("7,a", "")
		long := strings.Repeat("x", 60_000)
		publish(t, s, "7\tHello <b>\n7\t\n7\tf\xc3\xbcnf\xff\xe2\x82!\na\t"+strings.Repeat("y", 200)+"\n8\tnot for them\n7\t"+long+"\n")
		for _, want := range []string{"Hello <b>", "", "fünf\ufffd\ufffd!", strings.Repeat("y", 200), long} {
			b.wantFrame("1:" + want)
		}
		wantLedger(t, s, Ledger{Sent: 6, Offline: 1, Copies: 5, Delivered: 5})
		b.say(masked(0x88, "\x03\xe8bye"))
		b.wantClose(1000)
		until(t, "logged out", func() bool { return s.Stats().Router.Sessions == 0 })
	})
}

// With numbers a client can come back, and is told what it missed, or that this cannot be told.
func TestWebSocketJSON(t *testing.T) {
	line := func(id string, n uint64, msg string) string {
		return fmt.Sprintf(`1:{"id":%q,"n":%d,"msg":%q}`, id, n, msg)
	}
	gap := func(n uint64) string { return fmt.Sprintf(`1:{"id":"7","n":%d,"gap":true}`, n) }
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, History: history.Config{Messages: 2}})
		publish(t, s, "7\tone\n7\ttwo\n7\tthree\xff\n")
		b := dial(t, s).upgrade("7?format=json&since=0", "")
		first, err := b.frame()
		var n uint64
		if _, scanErr := fmt.Sscanf(first, `1:{"id":"7","n":%d,"msg":"two"}`, &n); err != nil || scanErr != nil {
			t.Fatalf("got %q, %v, %v", first, err, scanErr)
		}
		b.wantFrame(line("7", n+1, "three\ufffd"))
		publish(t, s, "7\tfour\n")
		b.wantFrame(line("7", n+2, "four"))
		for target, want := range map[string][]string{
			fmt.Sprintf("7?format=json&since=%d", n+1):           {line("7", n+2, "four")},
			fmt.Sprintf("7?format=json&last_event_id=7:%d", n-2): {gap(n), line("7", n+1, "three\ufffd"), line("7", n+2, "four")},
			fmt.Sprintf("7?format=json&since=%d", n+7):           {gap(n), line("7", n+1, "three\ufffd"), line("7", n+2, "four")},
			"7?format=json": {},
		} {
			b := dial(t, s).upgrade(target, "")
			for _, w := range want {
				b.wantFrame(w)
			}
			b.say(masked(0x88, ""))
			b.wantClose(1005) // nothing comes in between
			b.Close()
		}
		by := dial(t, s)
		by.say("GET /ws/7,57?since=7:" + fmt.Sprint(n+1) + " HTTP/1.1\r\n" + wsLines + "Sec-WebSocket-Protocol: x, cometctl.json\r\n" + hostLine)
		if head := by.head(); !strings.Contains(head, "\r\nSec-WebSocket-Protocol: cometctl.json\r\n") {
			t.Errorf("subprotocol: %q", head)
		}
		by.wantFrame(line("7", n+2, "four"))
		publish(t, s, "7\tfive\n")
		by.wantFrame(line("7", n+3, "five"))
		publish(t, s, "57\tsix\n")
		if got, err := by.frame(); err != nil || !strings.HasPrefix(got, `1:{"id":"57","n":`) || !strings.HasSuffix(got, `,"msg":"six"}`) {
			t.Errorf("got %q, %v", got, err)
		}
		plain := dial(t, s)
		plain.say("GET /ws/7?format=text HTTP/1.1\r\n" + wsLines + "Sec-WebSocket-Protocol: cometctl.json\r\n" + hostLine)
		plain.head()
		publish(t, s, "7\tseven\n")
		plain.wantFrame("1:seven")
		by.wantFrame(line("7", n+4, "seven"))
	})
}

// Two other libraries are clients.
func TestWebSocketForOthers(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		at := "ws://" + s.Comet().String() + "/ws/1"
		coder, resp, err := websocket.Dial(ctx, at, &websocket.DialOptions{Subprotocols: []string{"other"}, HTTPHeader: http.Header{"Origin": {"http://" + s.Comet().String()}}})
		if err != nil || resp.StatusCode != 101 || coder.Subprotocol() != "" {
			t.Fatal(err, resp)
		}
		defer coder.CloseNow()
		gobwas, _, _, err := ws.Dial(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		defer gobwas.Close()
		publish(t, s, "1\tHello Grüße\n")
		if kind, msg, err := coder.Read(ctx); err != nil || kind != websocket.MessageText || string(msg) != "Hello Grüße" {
			t.Errorf("coder/websocket: %v %q %v", kind, msg, err)
		}
		if msg, err := wsutil.ReadServerText(gobwas); err != nil || string(msg) != "Hello Grüße" {
			t.Errorf("gobwas/ws: %q %v", msg, err)
		}
		background := coder.CloseRead(ctx) // reads pongs
		if err := coder.Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
		if err := coder.Close(4321, "enough"); err != nil {
			t.Errorf("coder/websocket: close handshake: %v", err)
		}
		<-background.Done()
		if err := ws.WriteFrame(gobwas, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(3000, "")))); err != nil {
			t.Error(err)
		}
		var closed wsutil.ClosedError
		if _, err := wsutil.ReadServerText(gobwas); !errors.As(err, &closed) || closed.Code != 3000 {
			t.Errorf("gobwas/ws: after its close frame: %v", err)
		}
	})
}

// What clients say that gets an answer: pings, wherever they come, and close frames.
func TestWebSocketControl(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true})
		b := dial(t, s)
		b.say("GET /ws/1 HTTP/1.1\r\n" + wsLines + hostLine + masked(0x89, "at once")) // behind the request
		b.head()
		b.wantFrame("10:at once")
		b.say(masked(0x89, "") + masked(0x8a, "unasked") + masked(0x89, strings.Repeat("p", 125)))
		b.wantFrame("10:")
		b.wantFrame("10:" + strings.Repeat("p", 125))
		b.say(masked(0x01, "He") + masked(0x89, "amid") + masked(0x80, "llo"))
		b.wantFrame("10:amid")
		b.wantFrame("1:Hello")
		ping := masked(0x89, "byte by byte")
		for i := range ping {
			b.say(ping[i : i+1])
			until(t, "a byte seen", func() bool {
				n, bytes := sockets(s)
				return i < len(ping)-1 && n == 1 && bytes == max(0, i-5) || i == len(ping)-1 && n == 0 && bytes == 0
			})
		}
		b.wantFrame("10:byte by byte")
		for payload, code := range map[string]int{"": 1005, "\x03\xe8": 1000, "\x03\xe9bye": 1001, "\x0f\xa0": 4000, "\x13\x87ü": 4999} {
			b := dial(t, s).upgrade("1", "")
			b.say(masked(0x88, payload) + masked(0x81, "behind it"))
			b.wantClose(code)
			b.Close()
		}
		until(t, "all but one closed", func() bool { return s.Stats().Conns.Open == 1 })
		if n := s.counts.closed[causePeer].Load(); n != 5 {
			t.Errorf("%d connections were ended by their clients, want 5", n)
		}
	})
}

// wsOffences are what clients must not say, and the code that they are cut off with.
var wsOffences = []struct {
	name, said string
	code       int
}{
	{"unmasked", string(wire.AppendFrame(nil, wire.OpText, []byte("hi"))), 1002},
	{"unmasked ping", string(wire.AppendFrame(nil, wire.OpPing, nil)), 1002},
	{"reserved bit 1", masked(0xc1, "hi"), 1002},
	{"reserved bit 2", masked(0xa1, "hi"), 1002},
	{"reserved bit 3", masked(0x91, "hi"), 1002},
	{"reserved opcode", masked(0x83, "hi"), 1002},
	{"reserved control opcode", masked(0x8b, "hi"), 1002},
	{"ping of 126 bytes", masked(0x89, strings.Repeat("p", 126)), 1002},
	{"close of 126 bytes", masked(0x88, strings.Repeat("p", 126)), 1002},
	{"fragmented ping", masked(0x09, "hi"), 1002},
	{"continuation of nothing", masked(0x80, "hi"), 1002},
	{"text within a text", masked(0x01, "hi") + masked(0x81, "hi"), 1002},
	{"length in too many bytes", "\x81\xfe\x00\x02" + masked(0x81, "hi")[2:], 1002},
	{"invalid UTF-8", masked(0x81, "hi\xff"), 1007},
	{"invalid UTF-8 over frames", masked(0x01, "hi\xe2") + masked(0x89, "p") + masked(0x00, "\x82") + masked(0x80, "\x20"), 1007},
	{"text that ends in a character", masked(0x01, "hi\xe2") + masked(0x80, "\x82"), 1007},
	{"too long", masked(0x81, strings.Repeat("x", 101)), 1009},
	{"too long over frames", masked(0x01, strings.Repeat("x", 60)) + masked(0x80, strings.Repeat("x", 41)), 1009},
	{"far too long", "\x81\xff\x00\x00\x00\x01\x00\x00\x00\x00", 1009},
	{"binary", masked(0x82, "hi"), 1003},
	{"close with half a code", masked(0x88, "\x03"), 1002},
	{"close with code 999", masked(0x88, "\x03\xe7"), 1002},
	{"close with code 1004", masked(0x88, "\x03\xec"), 1002},
	{"close with code 1005", masked(0x88, "\x03\xed"), 1002},
	{"close with code 1006", masked(0x88, "\x03\xee"), 1002},
	{"close with code 1015", masked(0x88, "\x03\xf7"), 1002},
	{"close with code 2999", masked(0x88, "\x0b\xb7"), 1002},
	{"close with code 5000", masked(0x88, "\x13\x88"), 1002},
	{"close with a reason that is not UTF-8", masked(0x88, "\x03\xe8\xff"), 1007},
}

func TestWebSocketOffences(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, WSPublish: true, FrameMax: 100})
		for _, c := range wsOffences {
			b := dial(t, s).upgrade("1", "")
			go io.WriteString(b, c.said)
			got, err := b.frame()
			if err == nil && got == "10:p" { // the ping between the fragments
				got, err = b.frame()
			}
			if want := "8:" + string(wire.AppendClosePayload(nil, c.code, "")); err != nil || !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, %v; want code %d", c.name, got, err, c.code)
			}
			if rest := b.rest(); rest != "" {
				t.Errorf("%s: %q follows the close frame", c.name, rest)
			}
			b.Close()
		}
		until(t, "all closed", func() bool { return s.Stats().Conns.Open == 0 })
		if n, bytes := sockets(s); n != 0 || bytes != 0 {
			t.Errorf("%d sockets with %d bytes are kept", n, bytes)
		}
		if n := s.counts.closed[causeProtocol].Load(); n != int64(len(wsOffences)) {
			t.Errorf("%d of %d ended for the protocol", n, len(wsOffences))
		}
		if st := s.Stats(); st.Ledger != (Ledger{}) || st.Router.Sessions != 0 {
			t.Errorf("%+v", st.Ledger)
		}
	})
}

func TestWebSocketOverTLS(t *testing.T) {
	s := startTLS(t, Config{WSPublish: true}, newPair(t, "localhost", time.Hour))
	b := dialTo(t, tunnel(t, s, anybody()), 0).upgrade("1", "Origin: https://localhost\r\n")
	b.say(masked(0x81, "Hello"))
	b.wantFrame("1:Hello")
	b.say(masked(0x88, ""))
	b.wantClose(1005)
}
