package wire

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gosse "github.com/tmaxmax/go-sse"
)

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct{ id, name, data, want string }{
		{"", "", "", "data: \n\n"},
		{"7", "", "text", "id: 7\ndata: text\n\n"},
		{"12:7,57:8", "gap", "text", "id: 12:7,57:8\nevent: gap\ndata: text\n\n"},
		{"7", "", " space first", "id: 7\ndata:  space first\n\n"},
		{"7", "", "a\nb", "id: 7\ndata: a\ndata: b\n\n"},
		{"7", "", "a\rb", "id: 7\ndata: a\ndata: b\n\n"},
		{"7", "", "a\r\nb", "id: 7\ndata: a\ndata: b\n\n"},
		{"7", "", "a\n\rb\r\r\n\nc", "id: 7\ndata: a\ndata: \ndata: b\ndata: \ndata: \ndata: c\n\n"},
		{"7", "", "a\n", "id: 7\ndata: a\ndata: \n\n"},
		{"7", "", "\r\n", "id: 7\ndata: \ndata: \n\n"},
		{"7", "", "id: 8\n\ndata: forged", "id: 7\ndata: id: 8\ndata: \ndata: data: forged\n\n"},
		{"7", "", "a\x00b", "id: 7\ndata: a\x00b\n\n"},
		{"a\nb", "", "x", "data: x\n\n"},
		{"a\x00b", "", "x", "data: x\n\n"},
		{"7", "a\rb", "x", "id: 7\ndata: x\n\n"},
		{"7", "", "\xff\xe2\x82\n\xac", "id: 7\ndata: \ufffd\ufffd\ndata: \ufffd\n\n"},
		{"\xff", "\xff", "x", "id: \ufffd\nevent: \ufffd\ndata: x\n\n"},
	} {
		if got := AppendEvent([]byte("x"), []byte(c.id), c.name, []byte(c.data)); string(got) != "x"+c.want {
			t.Errorf("%q %q %q: got %q, want %q", c.id, c.name, c.data, got[1:], c.want)
		}
	}
}

func TestAppendGapEvent(t *testing.T) {
	const want = ": gap: messages up to this position are not all there\nid: 12:7,57:8\nevent: gap\ndata: {\"id\":\"57\",\"n\":8,\"gap\":true}\n\n"
	if got := AppendGapEvent([]byte("x"), []byte("12:7,57:8"), []byte("57"), 8); string(got) != "x"+want {
		t.Errorf("got %q, want %q", got[1:], want)
	}
	if got := string(AppendGapEvent(nil, []byte("a\nb"), []byte("57"), 8)); strings.Contains(got, "a\nb") || strings.Contains(got, "id: ") {
		t.Errorf("a cursor with a line end gave %q", got)
	}
}

func TestAppendComment(t *testing.T) {
	for text, want := range map[string]string{"": ":\n", "alive": ": alive\n", "a\ndata: b\r\rc": ": a\n: data: b\n: \n: c\n", " ": ":  \n"} {
		if got := AppendComment([]byte("x"), []byte(text)); string(got) != "x"+want {
			t.Errorf("%q: got %q, want %q", text, got[1:], want)
		}
	}
}

func TestAppendRetry(t *testing.T) {
	for d, want := range map[time.Duration]string{2 * time.Second: "retry: 2000\n", 0: "retry: 0\n", -time.Second: "retry: 0\n", 1999 * time.Microsecond: "retry: 1\n"} {
		if got := AppendRetry([]byte("x"), d); string(got) != "x"+want {
			t.Errorf("%v: got %q, want %q", d, got[1:], want)
		}
	}
}

// received is an event as a reader has it.
type received struct{ id, name, data string }

// readEvents is the interpretation of an event stream as WHATWG HTML, section 9.2.6, has it, rule for rule and line by line. It
// is what the writer is held to.
func readEvents(stream string) (events []received, retry string) {
	var id, name, data string
	lastID, dispatched := "", ""
	dispatch := func() {
		dispatched = lastID
		if data == "" {
			name = ""
			return
		}
		data = strings.TrimSuffix(data, "\n")
		kind := "message"
		if name != "" {
			kind = name
		}
		events = append(events, received{dispatched, kind, data})
		data, name = "", ""
	}
	text := strings.TrimPrefix(decodeUTF8(stream), "\ufeff") // "UTF-8 decode" takes one byte order mark off
	for text != "" {
		i := strings.IndexAny(text, "\r\n")
		if i < 0 {
			break // an unfinished line ends with the stream, and with it an unfinished event
		}
		line := text[:i]
		if text[i:] != "\n" && strings.HasPrefix(text[i:], "\r\n") {
			i++
		}
		text = text[i+1:]
		if line == "" {
			dispatch()
			continue
		}
		if line[0] == ':' {
			continue
		}
		field, value, colon := strings.Cut(line, ":")
		if colon {
			value = strings.TrimPrefix(value, " ")
		}
		switch field {
		case "event":
			name = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
				lastID = id
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				retry = value
			}
		}
	}
	return events, retry
}

// The examples of the standard, section 9.2.6, hold for the reader that judges the writer.
func TestReadEvents(t *testing.T) {
	for _, c := range []struct{ stream, want string }{
		{"data: YHOO\ndata: +2\ndata: 10\n\n", `[{ message YHOO` + "\n+2\n10}]"},
		{": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n", "[{1 message first event} { message second event}]"},
		{"data\n\ndata\ndata\n\ndata:", "[{ message } { message \n}]"},
		{"data:test\n\ndata: test\n\n", "[{ message test} { message test}]"},
		{"\ufeffevent: add\rdata: 7\r\r\n", "[{ add 7}]"},
		{"id: 1\x00\ndata: a\n\nid: 2\n\ndata: b\n\n", "[{ message a} {2 message b}]"},
	} {
		if events, _ := readEvents(c.stream); fmt.Sprint(events) != c.want {
			t.Errorf("%q: got %v, want %s", c.stream, events, c.want)
		}
	}
	if _, retry := readEvents("retry: 10\nretry: 1x\nretry\n"); retry != "10" {
		t.Errorf("retry %q", retry)
	}
}

// lines is what readers make of line ends in data.
func lines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// Two readers get back what was written: that of the standard, and github.com/tmaxmax/go-sse. Whatever stands in the data
// or in a comment, there is one event for each that was written.
func FuzzSSE(f *testing.F) {
	f.Add("7", "", "text", "alive", int64(2000))
	f.Add("12:7,57:8", "gap", "a\nb\rc\r\nd\n", "", int64(0))
	f.Add("", "message", "", "a\ndata: b\n\n", int64(-1))
	f.Add("1\x002", "x\ny", " a\x00\n id: 3\n\ndata: forged\n\n", ": \r", int64(1))
	f.Add("\ufeff", "\xff", "\xe2\x82\n\ufeff\xff", "\xff", int64(1<<40))
	f.Fuzz(func(t *testing.T, id, name, data, comment string, ms int64) {
		stream := AppendRetry(nil, time.Duration(ms%(1<<40))*time.Millisecond)
		stream = AppendComment(stream, []byte(comment))
		stream = AppendEvent(stream, []byte(id), name, []byte(data))
		stream = AppendComment(stream, []byte(comment))
		stream = AppendGapEvent(stream, []byte(id), []byte("12"), 9)
		stream = AppendEvent(stream, nil, "", []byte(data))

		wantID, wantName := id, name
		if strings.ContainsFunc(id, isControl) {
			wantID = ""
		}
		if wantName == "" || strings.ContainsFunc(name, isControl) {
			wantName = "message"
		}
		want := []received{{decodeUTF8(wantID), decodeUTF8(wantName), decodeUTF8(lines(data))},
			{decodeUTF8(wantID), "gap", `{"id":"12","n":9,"gap":true}`},
			{decodeUTF8(wantID), "message", decodeUTF8(lines(data))}}
		if !utf8.Valid(stream) {
			t.Fatalf("%q is not UTF-8", stream)
		}
		events, retry := readEvents(string(stream))
		if fmt.Sprint(events) != fmt.Sprint(want) {
			t.Fatalf("%q\nreads as %q\nwant     %q", stream, events, want)
		}
		if retry != strconv.FormatInt(max(ms%(1<<40), 0), 10) {
			t.Fatalf("retry %q of %d ms", retry, ms)
		}

		events = nil
		for e, err := range gosse.Read(bytes.NewReader(stream), &gosse.ReadConfig{MaxEventSize: 1 << 20}) {
			if err != nil {
				t.Fatalf("%q: go-sse: %v", stream, err)
			}
			if e.Type == "" {
				e.Type = "message"
			}
			events = append(events, received{e.LastEventID, e.Type, e.Data})
		}
		if fmt.Sprint(events) != fmt.Sprint(want) {
			t.Fatalf("%q\ngo-sse reads %q\nwant         %q", stream, events, want)
		}
	})
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
