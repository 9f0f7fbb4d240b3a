//! A durable sender: queue, ordered lanes, retry, reading the backend's answer.
