// The content of the dock: what runs and how far it is, opacity of the overlay, legend, and the synthesised tiles with their flagged cells.
#pragma once

#include "session.h"

#include <QWidget>

class QCheckBox;
class QLabel;
class QListWidget;
class QProgressBar;
class QPushButton;
class QSlider;
class QTreeWidget;

namespace histoloom {

class Panel : public QWidget {
    Q_OBJECT

public:
    explicit Panel(Session *session, QWidget *parent = nullptr);
    double opacity() const;
    void set_opacity(double opacity);
    // Until something else is said.
    void say(const QString &what);

signals:
    void opacity_changed(double opacity);
    void generate_asked();
    void region_asked();

private:
    QLayout *progress_row();
    QLayout *opacity_row();
    QLayout *map_row();
    QWidget *tiles_box();
    QLayout *gallery_title();
    QLayout *tiles_row();
    void open_report(const QString &page);
    void show_progress(const QString &stage, double fraction, double eta_s);
    void show_end(const QString &what);
    void show_legend();
    void show_gallery();
    void enlarge(int index);
    void export_tiles();

    Session *session_;
    QLabel *status_;
    QProgressBar *bar_;
    QPushButton *cancel_;
    QSlider *opacity_;
    QTreeWidget *legend_;
    QWidget *tiles_;  // all that there is only with tiles
    QLabel *gallery_title_;
    QCheckBox *flags_;
    QListWidget *gallery_;
    QPushButton *map_report_, *tiles_report_;
};

}  // namespace histoloom
