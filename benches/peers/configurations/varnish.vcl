# Varnish as a cache: by the target alone, in spite of Authorization.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "@origin@";
}

sub vcl_recv {
    if (req.method == "GET" && req.url ~ "^/api/") {
        return (hash);
    }
    return (pass);
}

sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}
