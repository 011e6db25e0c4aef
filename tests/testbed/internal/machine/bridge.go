package machine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// bridgeMAC is fixed: a bridge without an address of its own takes the lowest
// of its ports', and would change it under running connections.
var bridgeMAC = net.HardwareAddr{0x02, 0x66, 0x6c, 0x79, 0x62, 0x61}

// ErrClash marks what belongs to someone else on this machine.
var ErrClash = errors.New("in use by something else on this machine")

// CreateBridge makes the bridge that pods are attached to, with its address.
// The API server and the kubelet listen on that address, which is reachable
// from this machine and its pods only.
func CreateBridge(name string, address netip.Prefix) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: bridgeMAC}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   address.Addr().AsSlice(),
		Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen()),
	}}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		return fmt.Errorf("give bridge %s its address: %w", name, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("set bridge %s up: %w", name, err)
	}
	return nil
}

// CheckNetworkFree refuses a bridge name or a subnet that is taken.
func CheckNetworkFree(bridge string, subnets ...netip.Prefix) error {
	if _, err := netlink.LinkByName(bridge); err == nil {
		return fmt.Errorf("bridge %s: %w: choose another with --bridge", bridge, ErrClash)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, route := range routes {
		taken, ok := prefixOf(route.Dst)
		if !ok || taken.Bits() == 0 {
			continue // the default route overlaps everything and owns nothing
		}
		for _, subnet := range subnets {
			if subnet.Overlaps(taken) {
				return fmt.Errorf("subnet %s: %w (route to %s): choose another with --subnet", subnet, ErrClash, taken)
			}
		}
	}
	return nil
}

func prefixOf(dst *net.IPNet) (netip.Prefix, bool) {
	if dst == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(dst.IP)
	bits, _ := dst.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

// DeleteBridge removes the bridge; the pods' ends went with their namespaces.
func DeleteBridge(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("remove bridge %s: %w", name, err)
	}
	return nil
}

// FreePorts finds n free ports in a row. It looks below the range from which
// the kernel takes ports for outgoing connections, so that none of these is
// taken between now and its use.
func FreePorts(n int) (first int, err error) {
	const lowest, highest = 21600, 30000
	for first := lowest; first+n <= highest; first += n {
		if allFree(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row between %d and %d", n, lowest, highest)
}

func allFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		listener.Close()
	}
	return true
}
