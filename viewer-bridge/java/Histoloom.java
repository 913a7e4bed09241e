package io.github.histoloom;

import com.sun.jna.Callback;
import com.sun.jna.CallbackThreadInitializer;
import com.sun.jna.Library;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferInt;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;

/**
 * Histoloom for the JVM over JNA: a context, slides that Java code reads, jobs and results. Java 17 or newer; JNA 5.13 or newer.
 *
 * <p>Pixels cross as the JVM has them: a {@link BufferedImage} of TYPE_INT_ARGB is BGRA bytes. Failures are {@link Failure}s with one of
 * HL_E_* of histoloom.h as code. Parameters and summaries are JSON texts, for whatever JSON library the host has. Objects may be used from
 * any thread; closing a context waits for its callbacks, so never close one inside a {@link Reader}.
 */
public final class Histoloom implements AutoCloseable {
    private static final int ABI = 1 << 16, BGRA8 = 2, FOREVER = -1, E_BUFFER = -8, E_TIMEOUT = -11;

    /** Reads a region of a slide at the size asked for; x and y in level-0 pixels. Called on threads of the library. */
    public interface Reader {
        BufferedImage read(long x, long y, double downsample, int width, int height) throws Exception;
    }

    /** A call or a job that failed. */
    public static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1L;
        public final int code;

        Failure(int code, String name, String text, Throwable cause) {
            super(name + ": " + text, cause);
            this.code = code;
        }
    }

    /** The functions of histoloom.h that this class needs. */
    interface Abi extends Library {
        int hl_abi_version();
        int hl_sizeof(int id);
        String hl_error_name(int code);
        int hl_last_error(Pointer dst, long cap, LongByReference needed);
        int hl_build_info_json(Pointer dst, long cap, LongByReference needed);
        int hl_ops_json(Pointer dst, long cap, LongByReference needed);
        int hl_op_check_json(String path, Pointer dst, long cap, LongByReference needed);
        int hl_inspect_json(String path, Pointer dst, long cap, LongByReference needed);
        int hl_doctor_json(long context, Pointer dst, long cap, LongByReference needed);
        int hl_params_schema_json(String kind, Pointer dst, long cap, LongByReference needed);
        int hl_context_create(Config config, LongByReference context);
        int hl_context_release(long context);
        int hl_slide_open(long context, SlideDesc desc, LongByReference slide);
        int hl_slide_release(long slide);
        int hl_job_start(long context, long slide, String kind, String params, long input, LongByReference job);
        int hl_job_poll(long job, Progress progress);
        int hl_job_wait(long job, int timeoutMs);
        int hl_job_cancel(long job);
        int hl_job_params_json(long job, Pointer dst, long cap, LongByReference needed);
        int hl_job_partial(long job, Pointer dst, long cap, LongByReference needed, IntByReference w, IntByReference h);
        int hl_job_error(long job, Pointer dst, long cap, LongByReference needed);
        int hl_job_result(long job, LongByReference result);
        int hl_job_release(long job);
        int hl_result_json(long result, Pointer dst, long cap, LongByReference needed);
        int hl_result_geojson(long result, Pointer dst, long cap, LongByReference needed);
        int hl_result_provenance_json(long result, Pointer dst, long cap, LongByReference needed);
        int hl_result_labels(long result, Pointer dst, long cap, LongByReference needed, IntByReference columns, IntByReference rows);
        int hl_result_labels_region(long result, Region region, Pointer dst, long cap, LongByReference needed);
        int hl_result_overlay_region(long result, Region region, Pointer dst, long cap, LongByReference needed);
        int hl_result_tile_rgb(long result, int index, Pointer dst, long cap, LongByReference needed, IntByReference w, IntByReference h);
        int hl_result_tile_json(long result, int index, Pointer dst, long cap, LongByReference needed);
        int hl_result_release(long result);
    }

    /** struct hl_region. */
    @Structure.FieldOrder({"struct_size", "pixel_format", "x_px", "y_px", "downsample", "width_px", "height_px", "stride_bytes", "z", "t",
        "reserved", "token"})
    public static class Region extends Structure {
        public int struct_size = 64, pixel_format;
        public long x_px, y_px;
        public double downsample;
        public int width_px, height_px, stride_bytes, z, t, reserved;
        public long token;

        public Region() {}

        public Region(Pointer p) {
            super(p);
            read();
        }
    }

    /** struct hl_progress. */
    @Structure.FieldOrder({"struct_size", "state", "error", "reserved", "fraction", "items_per_s", "eta_s", "done", "total", "stage"})
    public static class Progress extends Structure {
        public int struct_size, state, error, reserved;
        public double fraction, items_per_s, eta_s;
        public long done, total;
        public byte[] stage = new byte[40];
    }

    /** struct hl_host. */
    @Structure.FieldOrder({"struct_size", "abi", "user", "max_concurrent_reads", "reserved", "read_region", "log", "progress"})
    public static class Host extends Structure {
        public int struct_size, abi;
        public Pointer user;
        public int max_concurrent_reads, reserved;
        public ReadRegion read_region;
        public Log log;
        public Pointer progress;
    }

    /** struct hl_config. */
    @Structure.FieldOrder({"struct_size", "threads", "models_dir", "device", "host"})
    public static class Config extends Structure {
        public int struct_size, threads;
        public String models_dir, device;
        public Pointer host;

        public Config() {
            setStringEncoding("UTF-8");
        }
    }

    /** struct hl_slide_desc. */
    @Structure.FieldOrder({"struct_size", "pixel_format", "width_px", "height_px", "downsamples", "levels", "background_rgb", "mpp_x", "mpp_y",
        "origin_x_px", "origin_y_px", "name", "id", "token"})
    public static class SlideDesc extends Structure {
        public int struct_size, pixel_format;
        public long width_px, height_px;
        public Pointer downsamples;
        public int levels, background_rgb;
        public double mpp_x, mpp_y;
        public long origin_x_px, origin_y_px;
        public String name, id;
        public long token;

        public SlideDesc() {
            setStringEncoding("UTF-8");
        }
    }

    /** hl_read_region_fn. */
    public interface ReadRegion extends Callback {
        long invoke(Pointer user, Pointer region, Pointer dst, long cap);
    }

    /** hl_log_fn. */
    public interface Log extends Callback {
        void invoke(Pointer user, int level, Pointer text);
    }

    /** Labels, row by row, 0 = background. */
    public static final class Labels {
        public final int width, height;
        public final byte[] data;

        Labels(int width, int height, byte[] data) {
            this.width = width;
            this.height = height;
            this.data = data;
        }
    }

    private interface Filled {
        int into(Pointer dst, long cap, LongByReference needed);
    }

    /** Those not closed: the library may still call their callbacks, which must not be collected. */
    private static final Set<Histoloom> OPEN = ConcurrentHashMap.newKeySet();
    /** Gives back what nobody refers to any more. */
    static final Cleaner CLEANER = Cleaner.create();

    private final Abi abi;
    private final Map<Long, Reader> readers = new ConcurrentHashMap<>();
    private final AtomicLong tokens = new AtomicLong();
    private final Map<Long, Throwable> failures = new ConcurrentHashMap<>();
    final Host host = new Host(); // the callbacks must stay reachable as long as the context, see OPEN
    private final long context;

    /** library: its path, or "histoloom" to let JNA search; models: the folder with manifest.json, null for the
     * weights that came with the library; device: auto, cpu, gpu or gpu:N. */
    public Histoloom(String library, String models, String device, int concurrentReads, BiConsumer<Integer, String> log) {
        abi = Native.load(library, Abi.class, Map.of(Library.OPTION_STRING_ENCODING, "UTF-8"));
        if (abi.hl_abi_version() >>> 16 != ABI >>> 16 || abi.hl_abi_version() < ABI) {
            throw new Failure(-2, "HL_E_ABI", library + " has another major version or an older minor one; use parts of one release", null);
        }
        final Structure[] structs = {host, new Config(), new SlideDesc(), new Region(), new Progress()};
        for (int id = 1; id <= structs.length; id++) {
            if (abi.hl_sizeof(id) < structs[id - 1].size()) {
                throw new Failure(-2, "HL_E_ABI", library + " knows a smaller " + structs[id - 1].getClass().getSimpleName(), null);
            }
        }
        host.struct_size = host.size();
        host.abi = ABI;
        host.max_concurrent_reads = concurrentReads;
        host.read_region = (user, region, dst, cap) -> read(new Region(region), dst);
        if (log != null) {
            host.log = (user, level, text) -> {
                try {
                    log.accept(level, text.getString(0, "UTF-8"));
                } catch (RuntimeException e) {
                    // a broken log must not break the job
                }
            };
        }
        host.write();
        final Config config = new Config();
        config.struct_size = config.size();
        config.models_dir = models;
        config.device = device;
        config.host = host.getPointer();
        final LongByReference out = new LongByReference();
        final CallbackThreadInitializer daemon = new CallbackThreadInitializer(true, false, "histoloom"); // stays attached between calls
        Native.setCallbackThreadInitializer(host.read_region, daemon);
        if (host.log != null) {
            Native.setCallbackThreadInitializer(host.log, daemon);
        }
        check(abi.hl_context_create(config, out));
        context = out.getValue();
        OPEN.add(this);
    }

    /** What a reader gives goes over as it lies in the JVM's int array. */
    private long read(Region r, Pointer dst) {
        try {
            final BufferedImage image = readers.get(r.token).read(r.x_px, r.y_px, r.downsample, r.width_px, r.height_px);
            if (image.getWidth() != r.width_px || image.getHeight() != r.height_px) {
                throw new IllegalStateException("the reader gave " + image.getWidth() + " x " + image.getHeight() + " pixels, "
                    + r.width_px + " x " + r.height_px + " were asked for");
            }
            final int[] whole = image.getType() == BufferedImage.TYPE_INT_ARGB && image.getRaster().getParent() == null
                ? ((DataBufferInt) image.getRaster().getDataBuffer()).getData() : null; // getRGB goes through a colour model, pixel by pixel
            final int[] row = new int[r.width_px];
            for (int y = 0; y < r.height_px; y++) {
                if (whole == null) {
                    image.getRGB(0, y, r.width_px, 1, row, 0, r.width_px);
                }
                dst.write((long) y * r.stride_bytes, whole == null ? row : whole, whole == null ? 0 : y * r.width_px, r.width_px);
            }
            return (long) r.stride_bytes * r.height_px;
        } catch (Throwable e) { // nothing may leave a callback; the job fails and says this
            failures.put(r.token, e);
            return -1;
        }
    }

    private void check(int code) {
        if (code != 0) {
            throw new Failure(code, abi.hl_error_name(code), text(abi::hl_last_error), null);
        }
    }

    private Memory bytes(Filled f) {
        try {
            for (;;) {
                final LongByReference needed = new LongByReference();
                check(f.into(null, 0, needed));
                final Memory out = new Memory(Math.max(1, needed.getValue()));
                if (needed.getValue() == 0) {
                    return out;
                }
                final int code = f.into(out, needed.getValue(), needed);
                if (code != E_BUFFER) {
                    check(code);
                    return out;
                }
            }
        } finally {
            Reference.reachabilityFence(f); // and with it the result it asks
        }
    }

    private static Region region(long x, long y, double downsample, int width, int height) {
        final Region r = new Region();
        r.pixel_format = BGRA8;
        r.x_px = x;
        r.y_px = y;
        r.downsample = downsample;
        r.width_px = width;
        r.height_px = height;
        return r;
    }

    private String text(Filled f) {
        return bytes(f).getString(0, "UTF-8");
    }

    /** JSON schema of the parameters of a job kind, for dialogs. */
    public String schema(String kind) {
        return text((d, c, n) -> abi.hl_params_schema_json(kind, d, c, n));
    }

    /** Version, ABI and job kinds. */
    public String buildInfo() {
        return text(abi::hl_build_info_json);
    }

    /** The ops that ship, with the schemas of their parameters. */
    public String ops() {
        return text(abi::hl_ops_json);
    }

    /** What an op's .wasm file says of itself once it was checked; of a folder the list of its ops. */
    public String checkOp(String path) {
        return text((d, c, n) -> abi.hl_op_check_json(path, d, c, n));
    }

    /** What a file or folder of Histoloom says of itself; of a models folder its manifest. */
    public String inspect(String path) {
        return text((d, c, n) -> abi.hl_inspect_json(path, d, c, n));
    }

    /** Loads every network and opens the device: what is there and what is missing. Takes seconds. */
    public String doctor() {
        return text((d, c, n) -> abi.hl_doctor_json(context, d, c, n));
    }

    /** Lends a slide. mpp: micrometres a level-0 pixel, 0 = unknown, never guess; downsamples of its levels, the first 1. */
    public Slide open(Reader reader, long width, long height, double[] downsamples, double mpp, String name, String id) {
        return open(reader, width, height, downsamples, mpp, mpp, 0, 0, name, id);
    }

    /** The same where pixels may not be square, and (0, 0) lies at (originX, originY) of the file since the viewer crops. */
    public Slide open(Reader reader, long width, long height, double[] downsamples, double mppX, double mppY, long originX, long originY,
            String name, String id) {
        final SlideDesc d = new SlideDesc();
        final Memory scales = downsamples.length == 0 ? null : new Memory(8L * downsamples.length);
        if (scales != null) {
            scales.write(0, downsamples, 0, downsamples.length);
        }
        d.struct_size = d.size();
        d.pixel_format = BGRA8;
        d.width_px = width;
        d.height_px = height;
        d.downsamples = scales;
        d.levels = downsamples.length;
        d.background_rgb = 0xFFFFFF;
        d.mpp_x = mppX;
        d.mpp_y = mppY;
        d.origin_x_px = originX;
        d.origin_y_px = originY;
        d.name = name;
        d.id = id;
        d.token = tokens.incrementAndGet();
        readers.put(d.token, reader);
        final LongByReference out = new LongByReference();
        try {
            check(abi.hl_slide_open(context, d, out));
        } catch (Failure e) {
            readers.remove(d.token);
            throw e;
        }
        return new Slide(out.getValue(), d.token);
    }

    /** Starts a job and returns at once. slide and input may be null. */
    public Job start(String kind, String params, Slide slide, Result input) {
        final LongByReference out = new LongByReference();
        check(abi.hl_job_start(context, slide == null ? 0 : slide.id, kind, params, input == null ? 0 : input.id, out));
        return new Job(out.getValue(), slide);
    }

    /** Cancels what runs and takes back every slide, job and result; afterwards no reader is called. */
    @Override
    public void close() {
        abi.hl_context_release(context);
        OPEN.remove(this);
    }

    /** A slide that is lent. */
    public final class Slide implements AutoCloseable {
        private final long id;
        final long token;

        Slide(long id, long token) {
            this.id = id;
            this.token = token;
        }

        @Override
        public void close() {
            abi.hl_slide_release(id);
            readers.remove(token);
            failures.remove(token);
        }
    }

    /** A job: queued, running or ended. */
    public final class Job implements AutoCloseable {
        private final long id;
        private final Slide slide;

        Job(long id, Slide slide) {
            this.id = id;
            this.slide = slide;
        }

        /** State, stage and fraction. */
        public Progress poll() {
            final Progress p = new Progress();
            p.struct_size = p.size();
            check(abi.hl_job_poll(id, p));
            return p;
        }

        /** Whether it has ended within that time. */
        public boolean await(int ms) {
            final int code = abi.hl_job_wait(id, ms);
            if (code == E_TIMEOUT) {
                return false;
            }
            check(code);
            return true;
        }

        /** The parameters with all defaults: what repeats the run. */
        public String params() {
            return text((d, c, n) -> abi.hl_job_params_json(id, d, c, n));
        }

        /** The picture so far, null while there is none. */
        public BufferedImage partial() {
            final IntByReference w = new IntByReference(), h = new IntByReference();
            final Memory rgba = bytes((d, c, n) -> abi.hl_job_partial(id, d, c, n, w, h));
            if (w.getValue() == 0 || h.getValue() == 0) {
                return null;
            }
            final byte[] from = rgba.getByteArray(0, 4 * w.getValue() * h.getValue());
            final BufferedImage out = new BufferedImage(w.getValue(), h.getValue(), BufferedImage.TYPE_INT_ARGB);
            for (int i = 0; i < from.length; i += 4) {
                final int argb = (from[i + 3] & 255) << 24 | (from[i] & 255) << 16 | (from[i + 1] & 255) << 8 | from[i + 2] & 255;
                out.setRGB(i / 4 % out.getWidth(), i / 4 / out.getWidth(), argb);
            }
            return out;
        }

        public void cancel() {
            check(abi.hl_job_cancel(id));
        }

        /** Waits for the end; throws what the job failed with. */
        public Result result() {
            await(FOREVER);
            final LongByReference out = new LongByReference();
            final int code = abi.hl_job_result(id, out);
            if (code == 0) {
                return new Result(out.getValue());
            }
            final String why = text((d, c, n) -> abi.hl_job_error(id, d, c, n));
            throw new Failure(code, abi.hl_error_name(code), why, slide == null ? null : failures.remove(slide.token));
        }

        @Override
        public void close() {
            abi.hl_job_release(id);
        }
    }

    /** What a job made. It outlives its job, not its context. Closed or not, it is given back once nobody refers to it. */
    public final class Result implements AutoCloseable {
        final long id;
        private final Cleaner.Cleanable released;

        Result(long id) {
            this.id = id;
            final Abi library = abi; // not this object, or it would never go
            released = CLEANER.register(this, () -> library.hl_result_release(id));
        }

        /** Map, classes, tiles with flags, device, notes, files, parameters. */
        public String json() {
            return text((d, c, n) -> abi.hl_result_json(id, d, c, n));
        }

        /** How the map was made. */
        public String provenance() {
            return text((d, c, n) -> abi.hl_result_provenance_json(id, d, c, n));
        }

        /** The whole map, one label a cell. */
        public Labels labels() {
            final IntByReference w = new IntByReference(), h = new IntByReference();
            final Memory all = bytes((d, c, n) -> abi.hl_result_labels(id, d, c, n, w, h));
            return new Labels(w.getValue(), h.getValue(), all.getByteArray(0, w.getValue() * h.getValue()));
        }

        /** Labels of a region at any zoom. */
        public Labels labels(long x, long y, double downsample, int width, int height) {
            final Region r = region(x, y, downsample, width, height);
            final Memory some = bytes((d, c, n) -> abi.hl_result_labels_region(id, r, d, c, n));
            return new Labels(width, height, some.getByteArray(0, width * height));
        }

        /** Polygons in level-0 pixels. */
        public String geojson() {
            return text((d, c, n) -> abi.hl_result_geojson(id, d, c, n));
        }

        /** Legend colours of a region at any zoom, transparent where there is no tissue. */
        public BufferedImage overlay(long x, long y, double downsample, int width, int height) {
            final Region r = region(x, y, downsample, width, height);
            final int[] pixels = bytes((d, c, n) -> abi.hl_result_overlay_region(id, r, d, c, n)).getIntArray(0, width * height);
            final BufferedImage out = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB);
            out.setRGB(0, 0, width, height, pixels, 0, width);
            return out;
        }

        /** Pixels of a tile. They are synthetic: whoever writes them to a file must say so. */
        public BufferedImage tile(int index) {
            final IntByReference w = new IntByReference(), h = new IntByReference();
            final Memory rgb = bytes((d, c, n) -> abi.hl_result_tile_rgb(id, index, d, c, n, w, h));
            final BufferedImage out = new BufferedImage(w.getValue(), h.getValue(), BufferedImage.TYPE_INT_RGB);
            for (int i = 0; i < w.getValue() * h.getValue(); i++) {
                final int r = rgb.getByte(3L * i) & 255, g = rgb.getByte(3L * i + 1) & 255, b = rgb.getByte(3L * i + 2) & 255;
                out.setRGB(i % w.getValue(), i / w.getValue(), r << 16 | g << 8 | b);
            }
            return out;
        }

        /** Flags, scores and provenance of a tile. */
        public String tileJson(int index) {
            return text((d, c, n) -> abi.hl_result_tile_json(id, index, d, c, n));
        }

        @Override
        public void close() {
            released.clean();
        }
    }
}
