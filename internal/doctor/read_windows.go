package doctor

import (
	"syscall"
	"unsafe"
)

// memoryStatus is MEMORYSTATUSEX of sysinfoapi.h.
type memoryStatus struct {
	length, load                                       uint32
	total, available                                   uint64
	totalPage, availablePage, totalVirtual, available2 uint64
	extended                                           uint64
}

func read(s *Snapshot) {
	// The dynamic ports of each version since Vista; who has changed them sees it with netsh int ipv4 show dynamicport tcp.
	s.Ports = &Ports{First: 49152, Last: 65535}
	m := memoryStatus{length: uint32(unsafe.Sizeof(memoryStatus{}))}
	ask := syscall.NewLazyDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")
	if ask.Find() != nil {
		return
	}
	if ok, _, _ := ask.Call(uintptr(unsafe.Pointer(&m))); ok != 0 {
		s.Memory, s.Available = new(int64(m.total)), new(int64(m.available))
	}
}
