//go:build !linux

// Package watch tells when something in a folder changes, where the system can.
package watch

import "errors"

// Folder has no way to tell here: the agent polls.
func Folder(string, func(), func()) (func(), error) {
	return nil, errors.ErrUnsupported
}
