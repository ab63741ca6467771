//! The default wgpu device with its kernels in WGSL, the language Metal, DirectX and browsers get, where Vulkan would
//! take SPIR-V.

use burn_wgpu::graphics::{AutoGraphicsApi, GraphicsApi, WebGpu};
use burn_wgpu::{WgpuDevice, WgpuSetup, init_device, init_setup};
use std::sync::OnceLock;

/// The device; set up at the first call.
///
/// CubeCL chooses the shader language by the graphics API a device was created with, so the device is registered a
/// second time as a browser WebGPU device.
pub fn device() -> WgpuDevice {
    static DEVICE: OnceLock<WgpuDevice> = OnceLock::new();
    let setup = || {
        let setup = init_setup::<AutoGraphicsApi>(&WgpuDevice::default(), Default::default());
        init_device(WgpuSetup { backend: WebGpu::backend(), ..setup }, Default::default())
    };
    DEVICE.get_or_init(setup).clone()
}
