//! Ctrl-C, and the end of the parent, ask for a checkpoint and an orderly stop.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// The first Ctrl-C (or SIGTERM) asks to stop, the second ends the process at once; both leave a resumable run.
pub(crate) fn listen() {
    // A second handler in one process is the only failure; the default action is then as good.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
}

/// A child watches its standard input: the parent closes it to ask for a stop, and dying closes it too.
pub(crate) fn watch_parent() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        STOP.store(true, Ordering::SeqCst);
    });
}

/// True once a stop was asked for.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::SeqCst)
}
