package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"codeberg.org/go-fonts/liberation/liberationmonobold"
	"codeberg.org/go-fonts/liberation/liberationmonobolditalic"
	"codeberg.org/go-fonts/liberation/liberationmonoitalic"
	"codeberg.org/go-fonts/liberation/liberationmonoregular"
	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansbolditalic"
	"codeberg.org/go-fonts/liberation/liberationsansitalic"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"codeberg.org/go-fonts/liberation/liberationserifbold"
	"codeberg.org/go-fonts/liberation/liberationserifbolditalic"
	"codeberg.org/go-fonts/liberation/liberationserifitalic"
	"codeberg.org/go-fonts/liberation/liberationserifregular"
)

// dropProgramPages gives back the pages of the program file that were only read to initialise: fonts for plot, tables of
// commands that are not run. They are clean, so what is needed again is read again, from the page cache. Errors are of no
// consequence: there is nothing to lose but a smaller number.
func dropProgramPages() {
	for _, font := range fonts() {
		dropPages(uintptr(unsafe.Pointer(unsafe.SliceData(font))), len(font))
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var at, end uintptr // the mapping that the lines are about; empty unless it is a read-only part of a file
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"): // address perms offset dev inode path
			at, end = 0, 0
			if from, to, _ := strings.Cut(fields[0], "-"); fields[1][1] == '-' && fields[1][3] == 'p' && fields[4] != "0" {
				a, _ := strconv.ParseUint(from, 16, 64)
				e, _ := strconv.ParseUint(to, 16, 64)
				at, end = uintptr(a), uintptr(e)
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && at < end:
			// A page that was written before it became read-only (relocations) is anonymous, and would be lost; none is here.
			dropPages(at, int(end-at))
		}
	}
}

// dropPages lets go of the whole pages in n bytes at at. They must never have been written: they come back as they stand in
// their file.
func dropPages(at uintptr, n int) {
	size := uintptr(os.Getpagesize())
	from, to := (at+size-1)&^(size-1), (at+uintptr(n))&^(size-1)
	if from < to {
		syscall.RawSyscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
	}
}

// fonts are the font files inside the program, which gonum/plot parses when the program starts: 2.4 MB resident. They stand
// among the writable data, which must be left alone otherwise, but nobody writes to a font.
func fonts() [][]byte {
	return [][]byte{
		liberationmonobold.TTF,
		liberationmonobolditalic.TTF,
		liberationmonoitalic.TTF,
		liberationmonoregular.TTF,
		liberationsansbold.TTF,
		liberationsansbolditalic.TTF,
		liberationsansitalic.TTF,
		liberationsansregular.TTF,
		liberationserifbold.TTF,
		liberationserifbolditalic.TTF,
		liberationserifitalic.TTF,
		liberationserifregular.TTF,
	}
}
