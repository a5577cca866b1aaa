package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// heard is all that a FrameDecoder says about what came on a connection.
type heard struct {
	whole []string // messages and control frames that have come whole: "1:text"
	begun string   // what has come of a message that has not; nothing after an error
	err   string   // and its code
	code  int
	n     int  // bytes that were consumed
	idle  bool // the decoder is its zero value again
}

func (h heard) String() string {
	return fmt.Sprintf("%q and %q, error %d %q, %d bytes, idle %v", h.whole, h.begun, h.code, h.err, h.n, h.idle)
}

// hear reads pieces as a connection would hand them over until a close frame or an error, and checks what Next promises
// about a single call. The pieces stay as they are.
func hear(pieces [][]byte, rules FrameRules) (h heard, err error) {
	var d FrameDecoder
	var message, control []byte
	for _, piece := range pieces {
		b := bytes.Clone(piece)
		for len(b) > 0 {
			p, n, err := d.Next(b, rules)
			switch {
			case n < 0 || n > len(b):
				return h, fmt.Errorf("n is %d of %d", n, len(b))
			case p.Op == OpContinuation && (len(p.Data) > 0 || p.End || err == nil && n < len(b)):
				return h, fmt.Errorf("asks for more with %d of %d bytes left and %+v", len(b)-n, len(b), p)
			}
			b = b[n:]
			h.n += n
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					return h, err
				}
				h.code, h.err, h.begun, h.idle = e.Status, e.Reason, "", false
				if _, n, again := d.Next(append(bytes.Clone(b), 0), rules); n != 0 || again == nil || again.Error() != h.err {
					return h, fmt.Errorf("after %q: n is %d, error %v", h.err, n, again)
				}
				return h, nil
			}
			buf := &message
			if p.Op >= OpClose {
				buf = &control
			}
			*buf = append(*buf, p.Data...)
			if p.End {
				h.whole = append(h.whole, fmt.Sprintf("%d:%s", p.Op, *buf))
				*buf = nil
			}
			h.begun, h.idle = string(message), d == FrameDecoder{}
			if p.Op == OpClose && p.End {
				return h, nil
			}
		}
	}
	return h, nil
}

// hearAllCuts hears b whole and cut in every way, and wants the same from all.
func hearAllCuts(t *testing.T, b []byte, rules FrameRules) heard {
	t.Helper()
	want, err := hear([][]byte{b}, rules)
	if err != nil {
		t.Fatal(err)
	}
	for how, pieces := range cuts(b) {
		if got, err := hear(pieces, rules); err != nil || got.String() != want.String() {
			t.Fatalf("%s: got %v, %v; want %v as for the whole", how, got, err, want)
		}
	}
	return want
}

// frame is a frame as a client sends it, good or not: first is its first byte, key the masking key.
func frame(first byte, key uint32, payload string) string {
	b := AppendMaskedFrame(nil, 0, []byte(payload), key)
	b[0] = first
	return string(b)
}

// bare is a frame as a server sends it.
func bare(first byte, payload string) string {
	b := AppendFrame(nil, 0, []byte(payload))
	b[0] = first
	return string(b)
}

const aKey = 0x37fa213d // as in RFC 6455 section 5.7

var client = FrameRules{Client: true}

// goodFrames are streams that are taken.
var goodFrames = []struct {
	name, bytes string
	rules       FrameRules
	whole       []string
	begun       string
}{
	{"the RFC's masked hello", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", FrameRules{}, []string{"1:Hello"}, ""},
	{"the RFC's hello", "\x81\x05Hello", client, []string{"1:Hello"}, ""},
	{"the RFC's fragments", "\x01\x03Hel\x80\x02lo", client, []string{"1:Hello"}, ""},
	{"the RFC's ping and pong", "\x89\x05Hello\x8a\x05Hello", client, []string{"9:Hello", "10:Hello"}, ""},
	{"the RFC's masked pong", "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", FrameRules{}, []string{"10:Hello"}, ""},
	{"empty text", frame(0x81, aKey, ""), FrameRules{}, []string{"1:"}, ""},
	{"empty binary", bare(0x82, ""), client, []string{"2:"}, ""},
	{"empty control frames", frame(0x89, aKey, "") + frame(0x8a, aKey, "") + frame(0x88, aKey, ""), FrameRules{}, []string{"9:", "10:", "8:"}, ""},
	{"125, 126 and 127 bytes", frame(0x82, aKey, strings.Repeat("\xff", 125)) + frame(0x82, aKey, strings.Repeat("\xfe", 126)) + frame(0x82, aKey, strings.Repeat("\xfd", 127)), FrameRules{},
		[]string{"2:" + strings.Repeat("\xff", 125), "2:" + strings.Repeat("\xfe", 126), "2:" + strings.Repeat("\xfd", 127)}, ""},
	{"interleaved control frames", frame(0x01, 1, "a") + frame(0x89, 2, "ping") + frame(0x00, 3, "b") + frame(0x8a, 4, "pong") + frame(0x80, 5, "c") + frame(0x81, 6, "d"),
		FrameRules{}, []string{"9:ping", "10:pong", "1:abc", "1:d"}, ""},
	{"close amid a message", frame(0x01, 1, "a") + frame(0x88, 2, "\x03\xe8bye") + "rubbish", FrameRules{}, []string{"8:\x03\xe8bye"}, "a"},
	{"empty fragments", frame(0x01, 1, "") + frame(0x00, 1, "") + frame(0x00, 1, "x") + frame(0x80, 1, ""), FrameRules{}, []string{"1:x"}, ""},
	{"a character over fragments", frame(0x01, 1, "\xf0\x9f") + frame(0x89, 1, "\xff") + frame(0x00, 1, "\x98") + frame(0x80, 1, "\x80."), FrameRules{}, []string{"9:\xff", "1:😀."}, ""},
	{"binary need not be UTF-8", frame(0x02, 1, "\xf0") + frame(0x80, 1, "\xff"), FrameRules{}, []string{"2:\xf0\xff"}, ""},
	{"edges of UTF-8", frame(0x81, aKey, "\x00\x7f\u0080\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff"), FrameRules{}, []string{"1:\x00\x7f\u0080\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff"}, ""},
	{"as long as may be", frame(0x01, 1, "abcd") + frame(0x80, 1, "efgh"), FrameRules{MessageMax: 8}, []string{"1:abcdefgh"}, ""},
	{"control frames are not part of the size", frame(0x01, 1, "abcd") + frame(0x89, 1, "0123456789") + frame(0x80, 1, "efgh"), FrameRules{MessageMax: 8}, []string{"9:0123456789", "1:abcdefgh"}, ""},
	{"a control frame longer than a message may be", frame(0x89, 1, "0123456789"), FrameRules{MessageMax: 8}, []string{"9:0123456789"}, ""},
	{"unfinished payload", frame(0x81, aKey, "Hello")[:9], FrameRules{}, nil, "Hel"},
	{"unfinished key", frame(0x81, aKey, "Hello")[:5], FrameRules{}, nil, ""},
	{"unfinished length", "\x81\xfe\x01", FrameRules{}, nil, ""},
	{"unfinished message", frame(0x01, 1, "a") + frame(0x00, 1, "\xf0"), FrameRules{}, nil, "a\xf0"},
}

func TestFrames(t *testing.T) {
	for _, c := range goodFrames {
		t.Run(c.name, func(t *testing.T) {
			got := hearAllCuts(t, []byte(c.bytes), c.rules)
			unfinished := strings.HasPrefix(c.name, "unfinished") || strings.HasPrefix(c.name, "close")
			if !slices.Equal(got.whole, c.whole) || got.begun != c.begun || got.err != "" || got.idle == unfinished {
				t.Errorf("got %v, want %q and %q", got, c.whole, c.begun)
			}
		})
	}
}

// badFrames are streams that are refused, with the code to close with. What is whole before it is heard.
var badFrames = []struct {
	name, bytes string
	rules       FrameRules
	whole       []string
	code        int
	reason      string
}{
	{"unmasked from a client", "\x81\x05", FrameRules{}, nil, 1002, "unmasked frame from a client"},
	{"masked from a server", "\x81\x85", client, nil, 1002, "masked frame from a server"},
	{"unmasked second fragment", frame(0x01, 1, "a") + "\x80\x00", FrameRules{}, nil, 1002, "unmasked frame from a client"},
	{"unmasked control frame", frame(0x81, 1, "a") + "\x89\x00", FrameRules{}, []string{"1:a"}, 1002, "unmasked"},
	{"first reserved bit", "\xc1", FrameRules{}, nil, 1002, "reserved bits 0x40"},
	{"second reserved bit", "\xa1", FrameRules{}, nil, 1002, "reserved bits 0x20"},
	{"third reserved bit", "\x91", FrameRules{}, nil, 1002, "reserved bits 0x10"},
	{"reserved bits of a control frame", "\xf9", FrameRules{}, nil, 1002, "reserved bits 0x70"},
	{"reserved bit of a continuation", frame(0x01, 1, "a") + "\xc0", FrameRules{}, nil, 1002, "reserved bits 0x40"},
	{"opcode 3", "\x83", FrameRules{}, nil, 1002, "opcode 0x3"},
	{"opcode 7", "\x07", FrameRules{}, nil, 1002, "opcode 0x7"},
	{"opcode 11", "\x8b", FrameRules{}, nil, 1002, "opcode 0xb"},
	{"opcode 15", "\x8f", FrameRules{}, nil, 1002, "opcode 0xf"},
	{"fragmented ping", "\x09", FrameRules{}, nil, 1002, "control frame 0x9 is fragmented"},
	{"fragmented close", "\x08", FrameRules{}, nil, 1002, "control frame 0x8 is fragmented"},
	{"ping of 126 bytes", "\x89\xfe", FrameRules{}, nil, 1002, "more than 125 bytes"},
	{"close of many bytes", "\x88\xff", FrameRules{}, nil, 1002, "more than 125 bytes"},
	{"close of one byte", "\x88\x81", FrameRules{}, nil, 1002, "half a code"},
	{"continuation of nothing", "\x80", FrameRules{}, nil, 1002, "continuation frame without a message"},
	{"continuation behind a message", frame(0x81, 1, "a") + "\x00", FrameRules{}, []string{"1:a"}, 1002, "continuation frame without a message"},
	{"continuation behind a ping", frame(0x89, 1, "a") + "\x80", FrameRules{}, []string{"9:a"}, 1002, "continuation frame without a message"},
	{"text in a message", frame(0x01, 1, "a") + "\x81", FrameRules{}, nil, 1002, "new message within a message"},
	{"binary in a message behind a ping", frame(0x02, 1, "") + frame(0x89, 1, "a") + "\x02", FrameRules{}, []string{"9:a"}, 1002, "new message within a message"},
	{"two bytes for 125", "\x82\xfe\x00\x7d", FrameRules{}, nil, 1002, "length 125 of a frame is not in its shortest form"},
	{"eight bytes for 65535", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", FrameRules{MessageMax: 1 << 20}, nil, 1002, "length 65535"},
	{"eight bytes for nothing", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x00", client, nil, 1002, "length 0"},
	{"highest bit of a length", "\x82\xff\x80", FrameRules{}, nil, 1002, "highest bit"},
	{"longer than may be", frame(0x81, 1, "12345678") + "\x81\x89", FrameRules{MessageMax: 8}, []string{"1:12345678"}, 1009, "longer than 8 bytes"},
	{"longer in two bytes", "\x81\xfe\x01", FrameRules{MessageMax: 255}, nil, 1009, "longer than 255 bytes"},
	{"longer by fragments", frame(0x01, 1, "abcd") + frame(0x00, 1, "") + "\x80\x85", FrameRules{MessageMax: 8}, nil, 1009, "longer than 8 bytes"},
	{"longer than the default", "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01", FrameRules{}, nil, 1009, "longer than 65536 bytes"},
	{"longer than 31 bits hold", "\x81\xff\x00\x00\x00\x00\x80", FrameRules{MessageMax: 1 << 31}, nil, 1009, "longer than 2147483647 bytes"},
	{"no UTF-8", frame(0x81, aKey, "Hello \xff"), FrameRules{}, nil, 1007, "byte 0xff"},
	{"no UTF-8 at once", frame(0x81, aKey, "Hello \xffand more")[:13], FrameRules{}, nil, 1007, "byte 0xff"},
	{"no UTF-8 from a server", bare(0x81, "ab\xc0\x80"), client, nil, 1007, "byte 0xc0"},
	{"surrogate", frame(0x81, aKey, "\xed\xa0\x80"), FrameRules{}, nil, 1007, "byte 0xa0"},
	{"beyond Unicode", frame(0x81, aKey, "\xf4\x90\x80\x80"), FrameRules{}, nil, 1007, "byte 0x90"},
	{"too long a form", frame(0x81, aKey, "\xe0\x9f\xbf"), FrameRules{}, nil, 1007, "byte 0x9f"},
	{"no UTF-8 over fragments", frame(0x01, 1, "\xce\xba\xe1\xbd") + frame(0x89, 1, "x") + frame(0x00, 1, "\xb9\xf4") + frame(0x80, 1, "\x90\x80"), FrameRules{}, []string{"9:x"}, 1007, "byte 0x90"},
	{"text that ends in a character", frame(0x81, aKey, "a\xc3"), FrameRules{}, nil, 1007, "within a character"},
	{"text that ends in a character, empty last fragment", frame(0x01, aKey, "a\xc3") + frame(0x80, aKey, ""), FrameRules{}, nil, 1007, "within a character"},
}

func TestBadFrames(t *testing.T) {
	for _, c := range badFrames {
		t.Run(c.name, func(t *testing.T) {
			got := hearAllCuts(t, []byte(c.bytes), c.rules)
			if !slices.Equal(got.whole, c.whole) || got.code != c.code || !strings.Contains(got.err, c.reason) {
				t.Errorf("got %v, want %q, code %d and %q", got, c.whole, c.code, c.reason)
			}
		})
	}
}

// Payload is unmasked where it lies; a byte that is refused, and what follows it, is left as it came.
func TestFrameDataIsNotCopied(t *testing.T) {
	var d FrameDecoder
	b := []byte(frame(0x81, aKey, "Hello"))
	p, n, err := d.Next(b, FrameRules{})
	if err != nil || n != len(b) || string(p.Data) != "Hello" || &p.Data[0] != &b[6] || !p.End {
		t.Errorf("got %+v, %d, %v", p, n, err)
	}
	bad := frame(0x81, aKey, "0123456789\xff0123456789")
	b = []byte(bad)
	_, n, err = d.Next(b, FrameRules{})
	if n != 16 || err == nil || string(b[6:16]) != "0123456789" || string(b[16:]) != bad[16:] {
		t.Errorf("n is %d, %v, left %q of %q", n, err, b, bad)
	}
}

func TestUnmask(t *testing.T) {
	const key = 0x04030201
	text := []byte(strings.Repeat("payload", 9))
	for size := range len(text) {
		want := slices.Clone(text[:size])
		for i := range want {
			want[i] ^= byte(i%4) + 1
		}
		for cut := range size + 1 {
			got := slices.Clone(text[:size])
			if unmask(got[cut:], unmask(got[:cut], key)); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes cut at %d: got %x, want %x", size, cut, got, want)
			}
		}
	}
}

func TestAppendFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		payload := bytes.Repeat([]byte("x"), size)
		plain := AppendFrame([]byte("before"), OpText, payload)
		wrapped := WrapFrame(append([]byte("before"), payload...), len("before"), OpText)
		masked := AppendMaskedFrame([]byte("before"), OpText, payload, aKey)
		if !bytes.Equal(plain, wrapped) || !bytes.HasPrefix(masked, []byte("before\x81")) {
			t.Fatalf("%d bytes: %.20q, wrapped %.20q, masked %.20q", size, plain, wrapped, masked)
		}
		for _, c := range []struct {
			b     []byte
			rules FrameRules
		}{{plain, FrameRules{Client: true, MessageMax: 1 << 20}}, {masked, FrameRules{MessageMax: 1 << 20}}} {
			got, err := hear([][]byte{c.b[len("before"):]}, c.rules)
			if err != nil || len(got.whole) != 1 || got.whole[0] != "1:"+string(payload) || !got.idle {
				t.Errorf("%d bytes: %.60v, %v", size, got, err)
			}
		}
	}
	if got := AppendFrame(nil, OpPong, []byte("Hello")); string(got) != "\x8a\x05Hello" {
		t.Errorf("pong is %q", got)
	}
	if got := AppendMaskedFrame(nil, OpText, []byte("Hello"), 0x3d21fa37); string(got) != goodFrames[0].bytes {
		t.Errorf("masked hello is %q", got)
	}
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		payload string
		code    int // of the frame
		reason  string
		err     int // or of the refusal
	}{
		{"", 1005, "", 0},
		{"\x03\xe8", 1000, "", 0}, {"\x03\xe9bye", 1001, "bye", 0}, {"\x03\xea", 1002, "", 0}, {"\x03\xeb", 1003, "", 0},
		{"\x03\xef", 1007, "", 0}, {"\x03\xf5", 1013, "", 0}, {"\x03\xf6", 1014, "", 0},
		{"\x0b\xb8", 3000, "", 0}, {"\x0f\xa0", 4000, "", 0}, {"\x13\x87ü", 4999, "ü", 0},
		{"\x03", 0, "", 1002},
		{"\x00\x00", 0, "", 1002}, {"\x03\xe7", 0, "", 1002}, {"\x03\xec", 0, "", 1002}, {"\x03\xed", 0, "", 1002}, {"\x03\xee", 0, "", 1002},
		{"\x03\xf7", 0, "", 1002}, {"\x03\xf8", 0, "", 1002}, {"\x07\xd0", 0, "", 1002}, {"\x0b\xb7", 0, "", 1002}, {"\x13\x88", 0, "", 1002}, {"\xff\xff", 0, "", 1002},
		{"\x03\xe8\xff", 0, "", 1007}, {"\x03\xe8ab\xc3", 0, "", 1007},
	} {
		code, reason, err := ParseClose([]byte(c.payload))
		if c.err != 0 {
			wantError(t, err, c.err, "close frame")
			continue
		}
		if err != nil || code != c.code || string(reason) != c.reason {
			t.Errorf("%q: got %d %q, %v", c.payload, code, reason, err)
		}
		if got := AppendClosePayload(nil, code, string(reason)); string(got) != c.payload {
			t.Errorf("%q came back as %q", c.payload, got)
		}
	}
}

func TestAppendClose(t *testing.T) {
	for _, c := range []struct {
		code   int
		reason string
		want   string
	}{
		{1001, "bye", "\x88\x05\x03\xe9bye"},
		{1005, "bye", "\x88\x00"},
		{1006, "", "\x88\x00"},
		{-1, "", "\x88\x00"},
		{1002, "\xff!", "\x88\x06\x03\xea\ufffd!"},
		{1000, strings.Repeat("x", 200), "\x88\x7d\x03\xe8" + strings.Repeat("x", 123)},
		{1000, strings.Repeat("x", 122) + "ü", "\x88\x7c\x03\xe8" + strings.Repeat("x", 122)},
	} {
		if got := AppendClose([]byte("a"), c.code, c.reason); string(got) != "a"+c.want {
			t.Errorf("%d %.20q: got %q, want %q", c.code, c.reason, got, c.want)
		}
	}
}

// Good frames cost no garbage, nor does the way to them.
func TestWebSocketNoAllocation(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\n" + askLines + keyLine + version13 + "Sec-WebSocket-Protocol: a, one\r\n\r\n")
	frames := []byte(bare(0x01, "f\xc3") + bare(0x89, "x") + bare(0x80, "\xbcnf"))
	payload := []byte("Fake message")
	buf := make([]byte, 0, 512)
	var r Request
	if err := ParseRequest(head, Limits{}, &r); err != nil {
		t.Fatal(err)
	}
	ok := true
	for name, f := range map[string]func(){
		"ParseUpgrade": func() { up, err := ParseUpgrade(&r, "one"); ok = err == nil && len(AppendUpgraded(buf, up, "")) > 0 },
		"FrameDecoder": func() {
			var d FrameDecoder
			ends := 0
			for rest := frames; len(rest) > 0; {
				p, n, err := d.Next(rest, client)
				if rest = rest[n:]; p.End && err == nil {
					ends++
				}
			}
			ok = ends == 2
		},
		"AppendFrame":       func() { ok = len(AppendFrame(buf, OpText, payload)) > 0 },
		"WrapFrame":         func() { ok = len(WrapFrame(append(buf, payload...), 0, OpText)) > 0 },
		"AppendMaskedFrame": func() { ok = len(AppendMaskedFrame(buf, OpText, payload, aKey)) > 0 },
		"AppendClose":       func() { ok = len(AppendClose(buf, CloseGoingAway, "bye")) > 0 },
		"ParseClose":        func() { code, _, _ := ParseClose(nil); ok = code == CloseNoCode },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 || !ok {
			t.Errorf("%s: %v allocations, ok %v; want 0, true", name, n, ok)
		}
	}
}
