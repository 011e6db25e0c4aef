package machine

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"flyball.dev/testbed/internal/layout"
)

// The node's processes (containerd, the kubelet, every container) share one
// mount namespace of their own. It does three things for us:
//
//   - the bed's folder is mounted at NodeRoot, so that socket paths are short
//     wherever the folder lies;
//   - the few fixed paths that containerd and the kubelet insist on are shadowed
//     by folders of ours, so a containerd or kubelet of the machine is untouched;
//   - every mount they make (root file systems, volumes, network namespaces)
//     disappears with the last process in it, even after a kill -9 of everything.

// NodeRoot is where the node sees the bed's folder.
func NodeRoot(bridge string) layout.Dir { return layout.Dir("/run/" + bridge) }

// shadowed are the fixed paths, with the name of the folder that stands in.
var shadowed = map[string]string{
	"/run/containerd":     "run-containerd", // the shims' sockets
	"/var/lib/cni":        "cni-cache",      // results of network plugins
	"/var/lib/kubelet":    "kubelet",        // volumes, and sockets of device plugins
	"/var/log/containers": "log-containers", // links that the kubelet makes
}

// MissingMountPoints are those of the paths that the machine does not have yet.
func MissingMountPoints(bridge string) []string {
	points := []string{string(NodeRoot(bridge))}
	for point := range shadowed {
		points = append(points, point)
	}
	return slices.DeleteFunc(points, func(point string) bool {
		_, err := os.Stat(point)
		return err == nil
	})
}

// MakeMountPoints makes them.
func MakeMountPoints(missing []string) error {
	for _, point := range missing {
		if err := os.MkdirAll(point, 0o755); err != nil {
			return fmt.Errorf("make a mount point: %w", err)
		}
	}
	return nil
}

// RemoveMountPoints removes mount points again, unless they are in use by now.
func RemoveMountPoints(made []string) {
	for _, point := range made {
		_ = os.Remove(point) // only an empty folder goes
	}
}

// EnterNewNamespace puts this process into a fresh mount namespace with the
// bed's folder and the shadows in place. The caller must exec right after.
func EnterNewNamespace(dir layout.Dir, bridge string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// Mounts of the machine come in, ours do not go out; below us they are
	// shared, which the kubelet needs for volumes with mount propagation.
	for _, propagation := range []uintptr{unix.MS_SLAVE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("set up the mount namespace: %w", err)
		}
	}
	if err := bind(string(dir), string(NodeRoot(bridge))); err != nil {
		return err
	}
	for point, shadow := range shadowed {
		if err := bind(dir.Shadow(shadow), point); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string) error {
	if err := os.MkdirAll(from, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", from, to, err)
	}
	return nil
}

// EnterNamespaceOf puts this process into another one's mount namespace. The
// caller must exec right after.
func EnterNamespaceOf(pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return fmt.Errorf("enter the node: %w", err)
	}
	defer ns.Close()
	runtime.LockOSThread()
	// A thread that shares its root and working folder may not change them.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter the node: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the node: %w", err)
	}
	return nil
}

// SnapshotterFor picks how containerd stores image layers. Layers stacked on a
// folder that is itself stacked are refused by the kernel; plain copies do.
func SnapshotterFor(dir layout.Dir) (string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(string(dir), &stat); err != nil {
		return "", err
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}
