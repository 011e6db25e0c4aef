module flyball.dev/bench-runtime

go 1.26.0

require (
	flyball.dev/agent v0.1.0
	github.com/KimMachineGun/automemlimit v1.0.1
	github.com/bytedance/gopkg v0.1.4
)

require github.com/pbnjay/memory v0.0.0-20210728143218-7b4eea64cf58 // indirect

replace flyball.dev/agent => ../../../agents/go
