//! The home server beside a real nats-server, configured by `nats-config` alone.

mod calls;
mod logins;
mod probes;
mod revocation;

use kez_testkit::{DeviceActor, Net};

/// A device of somebody who is registered, enrolled.
async fn device(net: &Net, owner: &str, name: &str) -> DeviceActor {
    let device = net.actor(owner).device(name);
    device.set_up().await;
    device
}
