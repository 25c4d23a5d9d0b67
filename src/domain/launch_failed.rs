//! A mark for other fairings of the host that this crate's fairing has failed.

/// Managed by Rocket when the launch has failed and the log says why. Rocket runs the remaining
/// fairings nevertheless; what they miss needs no further error.
pub(crate) struct LaunchFailed;
