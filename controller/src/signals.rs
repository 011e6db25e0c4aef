//! What the operating system tells a process, in one place: Windows has no signals, only events of its console.

use std::io;

/// The wish that this process ends.
pub struct End(system::End);

impl End {
    /// Listens from now on. An error: the handler could not be set.
    pub fn listen() -> io::Result<Self> {
        system::End::listen().map(Self)
    }

    /// Waits for it.
    pub async fn asked(&mut self) {
        self.0.asked().await;
    }
}

/// News that the terminal has another size.
pub struct Resized(system::Resized);

impl Resized {
    /// Listens from now on. An error: the handler could not be set.
    pub fn listen() -> io::Result<Self> {
        system::Resized::listen().map(Self)
    }

    /// Waits for it. Never on Windows, where the next drawing sees the size.
    pub async fn told(&mut self) {
        self.0.told().await;
    }
}

#[cfg(unix)]
mod system {
    use std::io;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub struct End {
        terminate: Signal,
        interrupt: Signal,
    }

    impl End {
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        }

        pub async fn asked(&mut self) {
            tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
        }
    }

    pub struct Resized(Signal);

    impl Resized {
        pub fn listen() -> io::Result<Self> {
            signal(SignalKind::window_change()).map(Self)
        }

        pub async fn told(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
    };

    pub struct End {
        interrupt: CtrlC,
        stop: CtrlBreak,
        close: CtrlClose,
        shutdown: CtrlShutdown,
    }

    impl End {
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                stop: ctrl_break()?,
                close: ctrl_close()?,
                shutdown: ctrl_shutdown()?,
            })
        }

        pub async fn asked(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.stop.recv() => {}
                _ = self.close.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }

    pub struct Resized;

    impl Resized {
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub async fn told(&mut self) {
            std::future::pending::<()>().await;
        }
    }
}
