package server

import (
	"net"
	"net/netip"

	"cometctl/internal/netloop"
	"cometctl/server/ui"
)

// file answers with a file of the page at /.
func (f *front) file(l netloop.Loop, c netloop.Conn, file ui.File) {
	fl := f.loop(l)
	b := fl.beginHead(l.Now(), fl.out[:0], 200)
	b = append(b, "Content-Type: "...)
	b = append(b, file.Type...)
	b = append(b, "\r\n"...)
	b = append(b, file.Fields...)
	b = fl.endHead(b, fl.clients.At(c.Slot()), len(file.Text))
	if !fl.isHead() {
		b = append(b, file.Text...)
	}
	fl.out = b
	f.reply(l, c, causeAnswered, b, 0)
}

// adminForPage is where the page sends messages (ui.Files): nowhere, unless the admin listener lets some page. A worker knows the admin
// listener of its parent by configuration only.
func (s *Server) adminForPage() string {
	if len(s.cfg.AllowOrigin) == 0 {
		return ""
	}
	text := s.cfg.Admin
	if s.admin != nil {
		text = s.admin.String()
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "0" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return ":" + port
	}
	return "http://" + net.JoinHostPort(host, port)
}
