package wire

import (
	"bytes"
	"testing"
	"time"
)

const (
	benchRequest  = "GET /test/1234 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: cometctl\r\nAccept: */*\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	benchStamp    = "~17000000000000003.1234.42.1700000000123456789.57.2988119792~"
	benchMessage  = "Fake message Num = 42 " + benchStamp
	benchChunk    = "Recvd msg #12: '" + benchMessage + "'<br/>"
)

func BenchmarkHead(b *testing.B) {
	request, response := []byte(benchRequest), []byte(benchResponse)
	var q Request
	var p Response
	for _, c := range []struct {
		name string
		head []byte
		f    func() bool
	}{
		{"scan", request, func() bool { var s HeadScanner; _, done, _ := s.Scan(request, Limits{}); return done }},
		{"request", request, func() bool { return ParseRequest(request, Limits{}, &q) == nil }},
		{"response", response, func() bool { return ParseResponse(response, Limits{}, &p) == nil }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.head)))
			b.ReportAllocs()
			for b.Loop() {
				if !c.f() {
					b.Fatal("refused")
				}
			}
		})
	}
}

// A head that comes byte by byte costs as much per byte as one that comes at once, whatever its length.
func BenchmarkScanByteByByte(b *testing.B) {
	head := []byte("GET / HTTP/1.1\r\nA: " + string(bytes.Repeat([]byte("a"), 16000)) + "\r\n\r\n")
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		var s HeadScanner
		for i := range head {
			s.Scan(head[i:i+1], Limits{})
		}
	}
}

func BenchmarkAppendChunk(b *testing.B) {
	data, dst := []byte(benchChunk), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendChunk(dst[:0], data)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "chunks/s")
}

// A read buffer with as many messages as a busy flood finds in one read, the last of them cut.
func BenchmarkChunkDecoder(b *testing.B) {
	const chunks = 500
	body := bytes.Repeat(AppendChunk(nil, []byte(benchChunk)), chunks)
	half := len(body) - 20
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var d ChunkDecoder
		for _, rest := range [][]byte{body[:half], body[half:]} {
			for len(rest) > 0 {
				_, n, _, err := d.Next(rest)
				if rest = rest[n:]; err != nil {
					b.Fatal(err)
				}
			}
		}
		if d.Chunks() != chunks {
			b.Fatal("chunks are missing")
		}
	}
	b.ReportMetric(chunks*float64(b.N)/b.Elapsed().Seconds(), "chunks/s")
}

func BenchmarkAppendHTMLEscaped(b *testing.B) {
	for name, text := range map[string]string{"plain": benchMessage, "markup": "<b>Fake</b> & 'message' Num = 42 " + benchStamp} {
		b.Run(name, func(b *testing.B) {
			data, dst := []byte(text), make([]byte, 0, 256)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendHTMLEscaped(dst[:0], data)
			}
		})
	}
}

func BenchmarkAppendStamp(b *testing.B) {
	id, dst := []byte("1234"), make([]byte, 0, MaxStamp)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendStamp(dst[:0], aRun, id, 42, aDue, 57*time.Microsecond)
	}
}

func BenchmarkNextStamp(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"message", benchChunk},
		{"none", "Recvd msg #12: 'Hello World, this is a message of a person and holds no stamp at all'<br/>"},
		{"hostile", string(bytes.Repeat([]byte("~1.1"), 1000))},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := []byte(c.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				NextStamp(text)
			}
		})
	}
}

// What a message costs in each form that the front can give it.
func BenchmarkAppendMessage(b *testing.B) {
	id, cursor, dst := []byte("1234"), []byte("912345678901"), make([]byte, 0, 512)
	plain, chinese, broken := []byte(benchMessage), bytes.Repeat([]byte("消息"), 12), []byte("first\r\n<second> \"\xff\"\n "+benchStamp)
	for _, text := range []struct {
		name string
		data []byte
	}{{"plain", plain}, {"chinese", chinese}, {"broken", broken}} {
		for _, c := range []struct {
			name string
			f    func() []byte
		}{
			{"event", func() []byte { return AppendEvent(dst, cursor, "", text.data) }},
			{"line", func() []byte { return AppendLine(dst, id, 912345678901, text.data) }},
			{"utf8", func() []byte { return AppendUTF8Repaired(dst, text.data) }},
		} {
			b.Run(c.name+"/"+text.name, func(b *testing.B) {
				b.SetBytes(int64(len(text.data)))
				b.ReportAllocs()
				for b.Loop() {
					c.f()
				}
			})
		}
	}
}

// A read buffer of a server with as many short messages as a busy client sends, the last of them cut; and one long message.
func BenchmarkFrameDecoder(b *testing.B) {
	for _, c := range []struct {
		name    string
		payload string
		rules   FrameRules
	}{
		{"server", benchMessage, FrameRules{}},
		{"client", benchMessage, FrameRules{Client: true}},
		{"long", string(bytes.Repeat([]byte(benchMessage), 900)), FrameRules{MessageMax: 1 << 20}},
		{"foreign", string(bytes.Repeat([]byte("Grüße 😀 "), 20)), FrameRules{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			one := AppendMaskedFrame(nil, OpText, []byte(c.payload), 0) // a key that leaves a buffer as it is
			if c.rules.Client {
				one = AppendFrame(nil, OpText, []byte(c.payload))
			}
			frames := max(1, 32<<10/len(one))
			stream := bytes.Repeat(one, frames)
			half := len(stream) - 20
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				var d FrameDecoder
				ends := 0
				for _, rest := range [][]byte{stream[:half], stream[half:]} {
					for len(rest) > 0 {
						p, n, err := d.Next(rest, c.rules)
						if rest = rest[n:]; err != nil {
							b.Fatal(err)
						}
						if p.End {
							ends++
						}
					}
				}
				if ends != frames {
					b.Fatal("messages are missing")
				}
			}
			b.ReportMetric(float64(frames)*float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	data, dst := []byte(benchMessage), make([]byte, 0, 256)
	for name, f := range map[string]func(){
		"server": func() { dst = AppendFrame(dst[:0], OpText, data) },
		"client": func() { dst = AppendMaskedFrame(dst[:0], OpText, data, 0x12345678) },
		"wrap":   func() { dst = WrapFrame(append(dst[:0], data...), 0, OpText) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

func BenchmarkUpgrade(b *testing.B) {
	head := []byte("GET /ws/1 HTTP/1.1\r\n" + askLines + keyLine + version13 + "\r\n")
	dst := make([]byte, 0, 512)
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseRequest(head, Limits{}, &r); err != nil {
			b.Fatal(err)
		}
		up, err := ParseUpgrade(&r)
		if err != nil {
			b.Fatal(err)
		}
		dst = AppendUpgraded(dst[:0], up, "")
	}
}
