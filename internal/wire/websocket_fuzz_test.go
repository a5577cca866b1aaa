package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// opinion is what another library says about the same frames.
type opinion struct {
	whole   []string // as in heard
	refused error    // nil: it took all there was, or a close frame
}

// The oracles of frames are gobwas/ws and coder/websocket. What we take both take, with the same messages and control frames,
// and what we refuse they refuse once they have a whole head to look at. Known, and not compared:
//   - neither minds a length that is not in its shortest form, and coder/websocket does not mind the mask of a server's frame,
//   - coder/websocket leaves UTF-8 to its caller,
//   - gobwas/ws leaves close frames to its caller, who has ws.CheckCloseFrameData; that one does not know 1012 to 1014, and
//     takes what is over 4999,
//   - coder/websocket reads a message until it is too long; we and gobwas/ws refuse its length,
//   - gobwas/ws bounds a control frame that stands alone like a message, so no bound here is below what a control frame may hold.
func FuzzWebSocket(f *testing.F) {
	for _, c := range goodFrames {
		f.Add([]byte(c.bytes), uint16(7), c.rules.Client, uint16(c.rules.MessageMax))
		f.Add([]byte(withoutKeys(c.bytes, c.rules)), uint16(7), c.rules.Client, uint16(c.rules.MessageMax))
	}
	for _, c := range badFrames {
		f.Add([]byte(c.bytes), uint16(3), c.rules.Client, uint16(c.rules.MessageMax))
		f.Add([]byte(withoutKeys(c.bytes, c.rules)), uint16(3), c.rules.Client, uint16(c.rules.MessageMax))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, isClient bool, most uint16) {
		if len(b) > 16<<10 {
			return
		}
		rules := FrameRules{Client: isClient, MessageMax: maxControl + int(most)}
		got, err := hear([][]byte{b}, rules)
		if err != nil {
			t.Fatal(err)
		}
		at := min(int(cut), len(b))
		var single [][]byte
		for i := range b {
			single = append(single, b[i:i+1])
		}
		for _, pieces := range [][][]byte{{b[:at], b[at:]}, single} {
			if other, err := hear(pieces, rules); err != nil || other.String() != got.String() {
				t.Fatalf("cut: %v, %v; whole: %v", other, err, got)
			}
		}
		judge(t, got, rules)
		asked := b
		if got.err != "" {
			asked = append(bytes.Clone(b[:min(got.n+1, len(b))]), bytes.Repeat([]byte{1}, 14)...) // the rest of a head
		}
		compare(t, "gobwas/ws", got, askGobwas(bytes.Clone(asked), rules), got.lax())
		compare(t, "coder/websocket", got, askCoder(t, bytes.Clone(asked), rules), got.laxForCoder())
	})
}

// withoutKeys is a client's stream with masking keys of zero, whose payload a fuzzer can read.
func withoutKeys(stream string, rules FrameRules) string {
	b := []byte(stream)
	if rules.Client {
		return stream
	}
	for i := 0; i+6 <= len(b) && b[i+1]&frameMasked != 0 && b[i+1]&^frameMasked < frameLen16; {
		end := min(i+6+int(b[i+1]&^frameMasked), len(b))
		key := uint32(b[i+2]) | uint32(b[i+3])<<8 | uint32(b[i+4])<<16 | uint32(b[i+5])<<24
		unmask(b[i+6:end], key)
		clear(b[i+2 : i+6])
		i = end
	}
	return string(b)
}

// judge looks at what a decoder says by itself: close frames are taken apart, and all is written and read again.
func judge(t *testing.T, got heard, rules FrameRules) {
	var b []byte
	for _, w := range got.whole {
		op, payload := opOf(w), w[len(fmt.Sprintf("%d:", opOf(w))):]
		if rules.Client {
			b = AppendFrame(b, op, []byte(payload))
		} else {
			b = AppendMaskedFrame(b, op, []byte(payload), uint32(len(b))*0x9e3779b1)
		}
		if op == OpClose {
			code, reason, err := ParseClose([]byte(payload))
			if back := AppendClosePayload(nil, code, string(reason)); err == nil && string(back) != payload {
				t.Fatalf("close payload %q came back as %q", payload, back)
			}
		}
	}
	if again, err := hear([][]byte{b}, rules); err != nil || !slices.Equal(again.whole, got.whole) || !again.idle && len(b) > 0 && !got.closed() {
		t.Fatalf("%v: written and read again it is %v, %v", got, again, err)
	}
}

func opOf(whole string) (op Opcode) {
	fmt.Sscanf(whole, "%d:", &op)
	return op
}

func (h heard) closed() bool { return len(h.whole) > 0 && opOf(h.whole[len(h.whole)-1]) == OpClose }

// lax tells whether neither oracle minds what we refuse.
func (h heard) lax() bool { return strings.Contains(h.err, "shortest form") }

// laxForCoder tells whether coder/websocket is known not to mind.
func (h heard) laxForCoder() bool {
	return h.lax() || h.code == CloseNotUTF8 || h.code == CloseTooBig || strings.Contains(h.err, "masked frame from a server")
}

// compare holds what we heard against an oracle's opinion.
func compare(t *testing.T, who string, got heard, want opinion, lax bool) {
	t.Helper()
	ours, refused := got.whole, got.err != ""
	if got.closed() { // whether its payload is good is for the caller to ask
		if _, _, err := ParseClose([]byte(ours[len(ours)-1][len("8:"):])); err != nil {
			ours, refused = ours[:len(ours)-1], true
			lax = who == "coder/websocket" && err.(*Error).Status == CloseNotUTF8
		}
	}
	switch {
	case refused && lax:
		if len(want.whole) < len(ours) || !slices.Equal(want.whole[:len(ours)], ours) {
			t.Fatalf("%s heard %q, %v; we %v", who, want.whole, want.refused, got)
		}
	case !slices.Equal(want.whole, ours) || (want.refused != nil) != refused:
		t.Fatalf("%s heard %q, %v; we %v", who, want.whole, want.refused, got)
	}
}

// askGobwas reads b with gobwas/ws.
func askGobwas(b []byte, rules FrameRules) (o opinion) {
	state := ws.StateServerSide
	if rules.Client {
		state = ws.StateClientSide
	}
	r := wsutil.Reader{Source: &tape{b: b}, State: state, CheckUTF8: true, MaxMessageSize: int64(rules.MessageMax)}
	control := func(h ws.Header, body io.Reader) error {
		payload, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if h.OpCode == ws.OpClose {
			if err := gobwasClose(payload); err != nil {
				return err
			}
		}
		o.whole = append(o.whole, fmt.Sprintf("%d:%s", h.OpCode, payload))
		if h.OpCode == ws.OpClose {
			return errTapeEnd
		}
		return nil
	}
	r.OnIntermediate = control
	for {
		h, err := r.NextFrame()
		if err == nil && h.OpCode.IsControl() {
			err = control(h, &r)
		} else if err == nil {
			var payload []byte
			if payload, err = io.ReadAll(&r); err == nil {
				o.whole = append(o.whole, fmt.Sprintf("%d:%s", h.OpCode, payload))
			}
		}
		if err != nil {
			if !errors.Is(err, errTapeEnd) {
				o.refused = err
			}
			return o
		}
	}
}

// gobwasClose is how its ControlHandler looks at a close frame, but for the codes that are known to differ.
func gobwasClose(payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 {
		return errors.New("half a code")
	}
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case code >= 1012 && code <= 1014:
		code = ws.StatusNormalClosure
	case code >= 5000:
		return errors.New("code over 4999")
	}
	return ws.CheckCloseFrameData(code, reason)
}

// tape is a net.Conn that plays bytes and swallows what it is told.
type tape struct {
	net.Conn
	b []byte
}

// errTapeEnd is not io.EOF, which means the end of a message to readers of messages.
var errTapeEnd = errors.New("end of the tape")

func (t *tape) Read(b []byte) (n int, err error) {
	if len(t.b) == 0 {
		return 0, errTapeEnd
	}
	n = copy(b, t.b)
	t.b = t.b[n:]
	return n, nil
}

func (t *tape) Write(b []byte) (int, error) { return len(b), nil }
func (t *tape) Close() error                { return nil }

// hijacked is the ResponseWriter of a request that came with a tape.
type hijacked struct {
	*httptest.ResponseRecorder
	tape *tape
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.tape, bufio.NewReadWriter(bufio.NewReader(h.tape), bufio.NewWriter(h.tape)), nil
}

// askCoder reads b with coder/websocket.
func askCoder(t *testing.T, b []byte, rules FrameRules) (o opinion) {
	ctx := context.Background()
	ping := func(_ context.Context, payload []byte) bool {
		o.whole = append(o.whole, fmt.Sprintf("%d:%s", OpPing, payload))
		return false
	}
	pong := func(_ context.Context, payload []byte) {
		o.whole = append(o.whole, fmt.Sprintf("%d:%s", OpPong, payload))
	}
	c, err := coderConn(ctx, &tape{b: b}, rules.Client, ping, pong)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(int64(rules.MessageMax))
	for {
		kind, payload, err := c.Read(ctx)
		if err == nil {
			o.whole = append(o.whole, fmt.Sprintf("%d:%s", kind, payload))
			continue
		}
		var end websocket.CloseError
		switch {
		case errors.As(err, &end):
			closing := AppendClosePayload(nil, int(end.Code), "")
			o.whole = append(o.whole, fmt.Sprintf("%d:%s%s", OpClose, closing, end.Reason))
		case !errors.Is(err, errTapeEnd):
			o.refused = err
		}
		return o
	}
}

// coderConn makes a connection of coder/websocket, whose one end is a tape.
func coderConn(ctx context.Context, tp *tape, client bool, ping func(context.Context, []byte) bool, pong func(context.Context, []byte)) (*websocket.Conn, error) {
	if client {
		answer := roundTripper(func(r *http.Request) (*http.Response, error) {
			key := []byte(r.Header.Get("Sec-WebSocket-Key"))
			h := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {string(appendAccept(nil, key))}}
			return &http.Response{StatusCode: 101, Header: h, Body: tp}, nil
		})
		c, _, err := websocket.Dial(ctx, "ws://x/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: answer}, OnPingReceived: ping, OnPongReceived: pong})
		return c, err
	}
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": rfcKey} {
		r.Header.Set(name, value)
	}
	return websocket.Accept(hijacked{httptest.NewRecorder(), tp}, r, &websocket.AcceptOptions{OnPingReceived: ping, OnPongReceived: pong})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
