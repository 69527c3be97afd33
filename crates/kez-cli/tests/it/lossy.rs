//! Connections that break after the server has done its work, or on which something happens first.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens on a free port and passes everything on to `server`, but loses the first `answers` answers to a POST.
pub(crate) fn losing(answers: u32, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let left = Arc::new(AtomicU32::new(answers));
    thread::spawn(move || {
        for client in listener.incoming() {
            pass_on(client.unwrap(), TcpStream::connect(server).unwrap(), Arc::clone(&left));
        }
    });
    addr
}

type Once = Box<dyn FnOnce() + Send>;

/// Listens on a free port and passes everything on to `server`, but does `first` before the first POST.
pub(crate) fn before_first_post(server: SocketAddr, first: impl FnOnce() + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let first: Arc<Mutex<Option<Once>>> = Arc::new(Mutex::new(Some(Box::new(first))));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let (requests, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let first = Arc::clone(&first);
            thread::spawn(move || {
                copy(requests, server, |bytes| {
                    if bytes.starts_with(b"POST ")
                        && let Some(first) = first.lock().unwrap().take()
                    {
                        first();
                    }
                    true
                });
            });
            thread::spawn(move || copy(answers, client, |_| true));
        }
    });
    addr
}

fn pass_on(client: TcpStream, server: TcpStream, left: Arc<AtomicU32>) {
    let loses = Arc::new(AtomicBool::new(false));
    let (requests, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let loses_next = Arc::clone(&loses);
    thread::spawn(move || {
        copy(requests, server, |bytes| {
            let less = |left: u32| left.checked_sub(1);
            let is_post = bytes.starts_with(b"POST ");
            if is_post && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                loses_next.store(true, Ordering::SeqCst);
            }
            true
        });
    });
    thread::spawn(move || copy(answers, client, |_| !loses.load(Ordering::SeqCst)));
}

/// Copies until one side ends, or until `passes` says no to some bytes; then ends both.
fn copy(mut from: TcpStream, mut to: TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
