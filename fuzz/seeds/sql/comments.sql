SELECT /* a /* b */ c */ symbol, -- {{ x }}
 ts /*+ HINT */ FROM bars --