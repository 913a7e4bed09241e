package io.github.histoloom;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.zip.CRC32;

/** Label maps and annotations that a run was made from. They are kept, since script lines name them; the same content is the same file. */
public record Drawings(Path folder) {
    Path keep(String name, String ending, byte[] content) throws Trouble {
        final CRC32 sum = new CRC32();
        sum.update(content);
        final Path file = folder.resolve(String.format(Locale.ROOT, "%s-%08x.%s", name, sum.getValue(), ending));
        try {
            Files.createDirectories(folder);
            Files.write(file, content);
        } catch (IOException e) {
            throw Trouble.file("What was drawn could not be written to " + file, e);
        }
        return file;
    }
}
