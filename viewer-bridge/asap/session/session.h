// What a viewer does with the library, without widgets. In: a slide, and the parameters of jobs. Out: the map as overlay tiles, its legend, the
// synthesised tiles with their flags, and messages. One job runs at a time; signals come on the thread that owns the session.
#pragma once

#include "folder.h"
#include "source.h"

#include <histoloom.hpp>

#include <QColor>
#include <QElapsedTimer>
#include <QJsonObject>
#include <QObject>
#include <QRegion>
#include <QStringList>
#include <QThread>
#include <QTimer>

#include <functional>
#include <memory>
#include <optional>

namespace histoloom {

// Where things are; "" and 0 let the library choose.
struct Setup {
    QString library, models, device = "auto";
    unsigned threads = 0;
};

struct TissueClass {
    int id = 0;
    QString name;
    QColor color;
    double share = 0;  // of the tissue
};

// A class that was annotated and has no cells.
struct WithoutCells {
    QString name, why;
};

struct SyntheticTile {
    QImage picture;
    QRegion flagged;      // pixels of the flagged cells
    bool flagged_whole = false;
    QStringList reasons;  // each flag of the tile once, as a sentence
    bool calibrated = false;
};

// A region of the overlay: level-0 pixels, downsample, size of the picture. Format_ARGB32_Premultiplied. Any thread.
using OverlayReader = std::function<QImage(qint64 x, qint64 y, double downsample, int width, int height)>;

class Session : public QObject {
    Q_OBJECT

public:
    explicit Session(Setup setup, QObject *parent = nullptr);
    ~Session() override;

    // Takes another slide; what was made of the one before is gone. Null: no slide.
    void open(std::shared_ptr<SlideSource> slide);
    // The slide that the viewer shows is none for us: why is told now and whenever something is asked for.
    void refuse(const QString &why);
    // Where the library and the models are from now on; ends everything. Waits for a doctor that is at work, for seconds.
    void set_up(const Setup &setup);
    const Setup &setup() const { return setup_; }

    // JSON schema of the parameters of a job; empty where it failed.
    QJsonObject schema(const QString &kind);
    // Each run leaves its files in `out_dir`; without one in a temporary folder, which stays as long as its result is shown.
    void cluster(const QJsonObject &parameters);
    void synthesise(const QJsonObject &parameters);
    // Both in one go, from the `annotations` in a file: parameters of synth, and `mpp` of cluster. Into `map` and `tiles` of `out_dir`.
    void generate(const QJsonObject &parameters);
    // The pages to look at in a browser, of the map and of the tiles; "" while there is none.
    QString map_report() const { return page_of(map_files_); }
    QString tiles_report() const { return page_of(tile_files_); }
    // Copies what ASAP loads by itself beside the slide: <slide>_likelihood_map.tif.
    void save_likelihood_map();
    QString likelihood_map_file() const;
    // Copies the newest tiles as the library wrote them (label maps, manifest, flagged ones apart) into a folder that holds none yet.
    void export_tiles(const QString &folder);
    // The atlas that came with the models; "" where none is found.
    QString atlas_file() const;
    void doctor();
    // A doctor goes on unheard: the library cannot end it.
    void cancel();

    bool busy() const { return job_.has_value() || doctor_ != nullptr; }
    const std::shared_ptr<SlideSource> &slide() const { return source_; }
    bool has_map() const { return map_ != nullptr; }
    const std::vector<TissueClass> &legend() const { return legend_; }
    const std::vector<WithoutCells> &without_cells() const { return without_cells_; }
    const std::vector<SyntheticTile> &gallery() const { return gallery_; }
    // Tiles that lie in the files alone, for want of memory.
    int tiles_not_shown() const { return tiles_not_shown_; }
    // Null while there is no overlay.
    const OverlayReader &overlay() const { return overlay_; }
    // One byte a cell, 0 = background, and level-0 pixels a cell.
    QImage labels() const;
    double cell_px() const { return cell_px_; }

signals:
    // fraction -1 and eta_s -1: not known.
    void progressed(const QString &stage, double fraction, double eta_s);
    void ended(const QString &what);
    void overlay_changed();
    void map_changed();
    void gallery_changed();
    void doctor_said(const QJsonObject &report);
    // title: what kind of trouble; text: what to do about it.
    void failed(const QString &title, const QString &text);

private:
    enum class Kind { Cluster, Synthesise };
    // Whether it runs; why not is told.
    bool start(Kind kind, const QJsonObject &parameters);
    const Slide &lent(const Context &library);
    void no_slide();
    static QString page_of(const std::unique_ptr<Folder> &files);
    void poll();
    void take_partial();
    void finish();
    void take_map(Result result);
    void take_tiles(const Result &result);
    void take_failure(const std::exception &error);
    void forget();
    Context &context();
    void guarded(const std::function<void()> &action);
    void report(const std::exception &error);

    Setup setup_;
    std::shared_ptr<SlideSource> source_;  // read by the library between open and release of opened_
    std::optional<Context> context_;
    std::optional<Slide> opened_;
    std::shared_ptr<const Result> map_;
    std::optional<Job> job_;
    Kind kind_ = Kind::Cluster;
    QTimer timer_;
    QElapsedTimer since_partial_;
    std::vector<uint8_t> partial_;
    std::vector<TissueClass> legend_;
    std::vector<WithoutCells> without_cells_;
    std::vector<SyntheticTile> gallery_;
    int tiles_not_shown_ = 0;
    OverlayReader overlay_;
    double cell_px_ = 0;
    std::unique_ptr<Folder> out_, map_files_, tile_files_;  // files of the job that runs, of the map and of the gallery
    std::optional<QJsonObject> then_;                       // parameters of the tiles that are made when the map is there
    QString refused_;                                       // why the slide in the viewer is none for us
    QList<QThread *> doctors_;                              // at work, most of them unheard
    QThread *doctor_ = nullptr;
};

}  // namespace histoloom
