package doctor

import (
	"encoding/binary"
	"syscall"
)

func read(s *Snapshot) {
	s.Kernel, _ = syscall.Sysctl("kern.osrelease") // empty where it does not tell
	s.FileMax, s.FilesOpen = control("kern.maxfiles"), control("kern.num_files")
	s.Somaxconn = control("kern.ipc.somaxconn")
	s.Pids, s.Tasks = control("kern.maxprocperuid"), nil
	if first, last := control("net.inet.ip.portrange.first"), control("net.inet.ip.portrange.last"); first != nil && last != nil {
		s.Ports = &Ports{First: *first, Last: *last}
	}
	s.Memory = control("hw.memsize")
	s.Available = s.Memory // it frees what it has cached when somebody needs it, and does not tell how much that is
}

// control is a number that the system tells under a name. Sysctl returns its bytes as a text, and cuts a zero off the end.
func control(name string) *int64 {
	text, err := syscall.Sysctl(name)
	if err != nil {
		return nil
	}
	var b [8]byte
	copy(b[:], text)
	return new(int64(binary.LittleEndian.Uint64(b[:])))
}
