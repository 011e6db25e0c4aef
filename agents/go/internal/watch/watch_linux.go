// Package watch tells when something in a folder changes, where the system can.
package watch

import (
	"os"
	"syscall"
)

// Folder calls changed after each change in the folder, until it is closed or
// the folder goes away; then it calls ended. The watch is on the folder: the
// kubelet swaps what is in it by renaming a link, which a watch on a file misses.
func Folder(path string, changed, ended func()) (close func(), err error) {
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	const events = syscall.IN_MOVED_TO | syscall.IN_CREATE | syscall.IN_CLOSE_WRITE | syscall.IN_DELETE |
		syscall.IN_DELETE_SELF | syscall.IN_MOVE_SELF | syscall.IN_ONLYDIR
	if _, err := syscall.InotifyAddWatch(fd, path, events); err != nil {
		_ = syscall.Close(fd)
		return nil, &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), "inotify") // non-blocking: no thread waits in it
	go func() {
		defer ended()
		defer file.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return
			}
			changed()
			if gone(buffer[:n]) {
				return
			}
		}
	}()
	return func() { _ = file.Close() }, nil
}

// gone is whether one of the events says that the folder itself is no longer there.
func gone(events []byte) bool {
	const away = syscall.IN_IGNORED | syscall.IN_DELETE_SELF | syscall.IN_MOVE_SELF | syscall.IN_UNMOUNT
	for len(events) >= syscall.SizeofInotifyEvent {
		// struct inotify_event: wd, mask, cookie, len, each of 4 bytes, and a name of len bytes.
		if native(events[4:8])&away != 0 {
			return true
		}
		size := syscall.SizeofInotifyEvent + int(native(events[12:16]))
		if size > len(events) {
			return false
		}
		events = events[size:]
	}
	return false
}
