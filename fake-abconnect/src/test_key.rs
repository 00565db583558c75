//! The key pair the stand-in's tokens are signed with.
//!
//! **A published test key.** It is in a public source tree, so it protects nothing and must never be trusted by
//! anything but tests, demos and benchmarks. It is shipped because generating RSA keys is slow and `ring` cannot.

/// PKCS#8, base64 of the DER, RSA 2048.
pub(crate) const PUBLISHED_TEST_KEY: &str = concat!(
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDVCKgL/bGyaLwV",
    "NDxOrRbTHZa5d2ioxYNzulLXJBT6fsFuwBA5iXa+YnqX4Wx5KHg0edvIVRfN1deN",
    "LxuQh4tgE7O5VAsgAGO6KWln8E81iySdjH7xaf74I3k207utGhsAtAIq0CwgYFF6",
    "vj9ojl818ltfLx/5XKdrHT5RP6VfGzgwHJseE/s/LWDrK6OlffcSAReRHM/1pQ27",
    "fVLxBwPu1cQbIevVydDctQTrs4WiwtsZfN+I1gU2UbSHtCldkQdNVhyR1H6ZLtPj",
    "BpFeCk1dp2sXBEcxBZffDnW0LnM7y86gVTc9vL5E/1W1/EIyYSTvMUz0IXb4XFRY",
    "pkL070ddAgMBAAECggEAF0ubiLgkutQuIQl1wMq3sL1PEpfmp3H1xm1tCp6k9qFu",
    "yIwTGh+YjwgYzMv3PyZ4QpDCwlzfvf/w0r0AgCT6TjbJU+5HSygPv7cwkg+ascm1",
    "5s6KwR5spbjHVAICR1MP+ds1U3YxJRczQb9VErti2PTYHgf6sJt7qUBo5JyXmlcd",
    "6qLfLDy/4j1Mbr0r7VIAgpCBBOtdujY0sINpAmTu/0xiHdMVRljzkUd+fh96WnbE",
    "CjfTz0VgpvFXP35BTOWo0gQ/RD99i5jdoB+6QqyadypyhinMXBSPdvrXQS9a2ilg",
    "gZaxIdvk28RZ5K5fxYADZT94V469CLvUqlrd1WpaVwKBgQD8cxEWFFEZJi4wDjLi",
    "vLySUf19I4bZzPg1s2EBrjjrKgu/vkH9yP2njWse9+nl+6Jib3V0uYzkchzjIWMl",
    "lTU1YlKVfloz78kVUc1hpVRV0GBgRJIau5FNbJqTeMyEacAiAh7C8N9n0pVGgRqD",
    "gCu4tPzX3Y1sYHEiFU+U2GE0SwKBgQDYB6zhtt8nE6ZhY8y9CJ8tnHPbGuTdnYFt",
    "d0FcLlIXsFMn6pf7krppIuJiffXdqvsEVjr/mu3BJUxeoa+Yc4DIxFeyI4sWmBfq",
    "pfcRztz4XSVCtG2eSmBtitJlJrtA+t4NNfzGDDUQBAbM/sD4zVRFsS5YgoI7FjMy",
    "eIJhA4+Z9wKBgFvCQ0qgNd4LR6yF7K8HZQ9WJ+otWJ2f5/Q08CSZO+0WSlD2iawC",
    "O1iEiZQnDmher2ZSFwJHU1PRunhAMXZ+pmlyBIx78bOBC7jpE9rTKjVK2U0Ef4qh",
    "9K2MtR63QLc8bO6vkJjQzpNBMqr+0DFODBZGCsU3rWjgIR7/Wf7DK4nDAoGAd3fP",
    "KMgsIn0gbw11BTlGZj/2Zj46QUDAedwQnjzTk1wksJdw02RyiIANODC2jo7m4KAb",
    "Yo24XC8XS+IYrLN7jgve/5neanFUEKUVvJhs5UEFwRzs3jP9nba+4ceImMfjkuS/",
    "VHsdwSyo4ickarOKnjv9CF+sS6bcS1YPrDz+5kMCgYBsICc+nDSGFYFHEpw/TNd9",
    "4qGGg75pUvjke5LmPUQFB+mHx0iuL6V0gkDfaDcEpQg8InHeLZMGw4o7HSwuv2kO",
    "/yu9NPdhfnfd7+6TVNQXUnvUPgjzhhWMjX46mnkKKzUiXGn3AUTxN2eCJQcEOmfR",
    "nkajL8io5gUahZIVH0RK8A==",
);
